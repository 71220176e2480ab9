"""Verify a release before it runs: each image signed by whom it should be, each with its SBOM."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from client.screen import one_line, terminal
from release.manifest import ManifestError, Release
from release.override import write
from release.signer import Key, SignatureError, Signer, Workflow, verify
from supply.finding import ROOT
from supply.tools import ToolMissing

OVERRIDE = ROOT / "compose.release.yaml"


def main(
    release: Annotated[
        Path, typer.Argument(help="The release.json that came with it.", envvar="RELEASE")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            help="Its signer's public key; left out, the workflow of deploy/release.toml."
        ),
    ] = None,
) -> None:
    """Verify all of it, then write compose.release.yaml, which runs just these images.

    Exit code 0: all is the signer's; 1: something is not, and no override is there; 2: wrong files.
    """
    console = terminal()
    OVERRIDE.unlink(missing_ok=True)  # one of another release must not outlive a refusal
    refused = False
    try:
        read = Release.load(release)
        signer: Signer = Key(key) if key else Workflow.load()
        chart = {"chart": read.chart} if read.chart else {}
        for part, reference in (read.images | chart).items():
            try:
                console.print(Text(f"  ✓ {part}: {verify(reference, signer)} components"))
            except SignatureError as error:
                refused = True
                console.print(Text(f"  ✗ {part}: {one_line(str(error), 300)}"))
    except (ManifestError, ToolMissing, SignatureError) as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(2) from error
    if refused:
        raise typer.Exit(1)
    write(read, OVERRIDE)
    console.print(f"  docker compose -f compose.yaml -f {OVERRIDE.name} up")
    if read.chart:
        console.print(Text(f"  helm install bulkhead oci://{read.chart}"))


if __name__ == "__main__":
    typer.run(main)
