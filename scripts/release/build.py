"""Build the images of this commit for x86-64 and arm64, with SBOM and provenance, and push them.

What is built is what compose.yaml builds; BuildKit's bake reads it there.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bulkhead import __version__
from client.screen import one_line, terminal
from release.manifest import ManifestError, Release
from release.override import built
from supply.finding import ROOT


def main(
    registry: Annotated[str, typer.Argument(help="Where to push, as ghcr.io/owner/bulkhead.")],
    platforms: Annotated[str, typer.Option(help="With commas.")] = "linux/amd64,linux/arm64",
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("release.json"),
) -> None:
    """Exit code 1: a build or a push failed; 2: the tree has changes that no commit has."""
    console = terminal()
    if _git("status", "--porcelain"):
        console.print("commit first: a release is a commit")
        raise typer.Exit(2)
    parts = {part: service for service, part in built().items()}  # one of the services of each
    # Files of the images bear the commit's time, so that a second build gives the same layers.
    environment = os.environ | {"SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct")}
    environment["COMPOSE_PROJECT_NAME"] = "release"  # in the tags, which `bake` sets anew
    with tempfile.NamedTemporaryFile(suffix=".json") as metadata:
        command = bake(registry, __version__, parts, platforms, metadata.name)
        if subprocess.run(command, cwd=ROOT, env=environment).returncode:
            raise typer.Exit(1)
        pushed = json.loads(Path(metadata.name).read_text())
    images = {
        part: f"{registry}/{part}@{pushed[service]['containerimage.digest']}"
        for part, service in parts.items()
    }
    try:
        Release(__version__, _git("rev-parse", "HEAD"), images).save(out)
    except ManifestError as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(1) from error
    console.print(f"  {len(images)} images, in {out}")


def bake(
    registry: str, version: str, parts: dict[str, str], platforms: str, metadata: str
) -> list[str]:
    """The build of all `parts`, by part the service that builds it."""
    command = ["docker", "buildx", "bake", "--file=compose.yaml", f"--metadata-file={metadata}"]
    command += ["--sbom=true", "--provenance=mode=max"]
    for part, service in parts.items():
        command += [f"--set={service}.tags={registry}/{part}:{version}"]
        command += [f"--set={service}.output=type=image,push=true,rewrite-timestamp=true"]
        command += [f"--set={service}.platform={one}" for one in platforms.split(",")]
    return [*command, *parts.values()]


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - whichever the PATH has
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    typer.run(main)
