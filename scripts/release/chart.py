"""Package the chart with a release's images in it, push it, and name its digest in the release.

Whoever installs it says nothing of images; whoever installs from a clone gives the values that are
written beside it.
"""

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.text import Text

from client.screen import one_line, terminal
from release.manifest import ManifestError, Release
from supply.finding import ROOT
from supply.tools import ToolMissing, tool

CHART = ROOT / "deploy/helm/bulkhead"


class ChartError(Exception):
    """A chart that could not be packaged or pushed."""


def images(release: Release) -> dict[str, object]:
    """The chart's values for a release's images. Raises `ManifestError` for two registries."""
    found = {part: reference.split("@") for part, reference in release.images.items()}
    registries = {name.removesuffix(f"/{part}") for part, (name, _) in found.items()}
    if len(registries) != 1:
        raise ManifestError(f"its images are not in one registry: {', '.join(sorted(registries))}")
    digests = {part: digest for part, (_, digest) in sorted(found.items())}
    return {"images": {"registry": registries.pop(), "digests": digests}}


def write(release: Release, path: Path) -> None:
    """Write the values, for `helm install -f`. Raises `ManifestError`."""
    head = f"# Release {release.version}, commit {release.commit}.\n"
    path.write_text(head + yaml.safe_dump(images(release), sort_keys=False))


def package(release: Release, folder: Path) -> Path:
    """A chart of this release in `folder`, as Helm packs it; links have become files.

    Raises `ManifestError`, `ChartError` or `ToolMissing`.
    """
    told = images(release)["images"]
    assert isinstance(told, dict)
    with tempfile.TemporaryDirectory() as work:
        copy = shutil.copytree(CHART, Path(work, CHART.name))
        values = copy / "values.yaml"
        text = values.read_text(encoding="utf-8")
        for key, empty in (("registry", '""'), ("digests", "{}")):
            filled = yaml.safe_dump({key: told[key]}, default_flow_style=True, width=10**6)
            text, times = re.subn(
                rf"^  {key}: {re.escape(empty)}$",
                "  " + filled.strip().removeprefix("{").removesuffix("}"),
                text,
                flags=re.MULTILINE,
            )
            if times != 1:
                raise ChartError(f"{values.name} has no one place for {key}")
        values.write_text(text, encoding="utf-8")
        options = ["--version", release.version, "--app-version", release.version]
        _helm("package", str(copy), *options, "--destination", str(folder))
    return folder / f"{CHART.name}-{release.version}.tgz"


def contents(release: Release, folder: Path) -> Path:
    """What the chart brings into a cluster, as CycloneDX 1.6: each image by its digest."""
    told = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["images"]
    theirs = {
        one["repository"]: one["digest"]
        for one in told.values()
        if isinstance(one, dict) and "repository" in one
    }
    ours = dict(reference.split("@") for reference in release.images.values())
    components = [
        {
            "type": "container",
            "name": name,
            "version": digest,
            "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
        }
        for name, digest in sorted((theirs | ours).items())
    ]
    path = folder / "chart.cdx.json"
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    path.write_text(json.dumps(head | {"components": components}, indent=2) + "\n")
    return path


def push(archive: Path, registry: str, *, plain: bool) -> str:
    """Push a packaged chart; its reference with the digest. `plain`: by HTTP, on loopback.

    Raises `ChartError` or `ToolMissing`.
    """
    said = _helm("push", str(archive), f"oci://{registry}", *(["--plain-http"] if plain else []))
    digest = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", said, re.MULTILINE)
    if digest is None:
        raise ChartError("helm did not say what it pushed")
    return f"{registry}/{CHART.name}@{digest[1]}"


def _helm(*arguments: str) -> str:
    done = subprocess.run([tool("helm4"), *arguments], capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        raise ChartError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else said)
    return said


def main(
    release: Annotated[Path, typer.Argument(help="What build.py wrote; the chart is added.")],
    registry: Annotated[str, typer.Argument(help="Where to push, as ghcr.io/owner/charts.")] = "",
    values: Annotated[Path, typer.Option(help="The values to write.")] = Path("values-images.yaml"),
    plain: Annotated[bool, typer.Option("--plain-http", help="A registry on loopback.")] = False,
) -> None:
    """Write the values; with a registry, package and push the chart as well.

    Exit code 1: it could not be packaged or pushed; 2: wrong files.
    """
    console = terminal()
    try:
        read = Release.load(release)
        write(read, values)
        if registry:
            with tempfile.TemporaryDirectory() as folder:
                pushed = push(package(read, Path(folder)), registry, plain=plain)
            replace(read, chart=pushed).save(release)
            console.print(Text(f"  {pushed}"))
    except (ManifestError, ToolMissing) as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(2) from error
    except ChartError as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(1) from error
    console.print(f"  {values}")


if __name__ == "__main__":
    typer.run(main)
