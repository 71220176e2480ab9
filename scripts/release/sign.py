"""Sign each image of a release and its chart, attest what is in them, and verify as users will."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from client.screen import one_line, terminal
from release.chart import contents
from release.manifest import ManifestError, Release
from release.signer import Key, SignatureError, Signer, Workflow, sign, verify
from supply.tools import ToolMissing


def main(
    release: Annotated[Path, typer.Argument(help="What build.py wrote.")],
    boms: Annotated[Path, typer.Argument(help="The folder that sbom.py made with --images.")],
    key: Annotated[
        Path | None, typer.Option(help="A private key of cosign's; left out, the workflow signs.")
    ] = None,
    public: Annotated[Path | None, typer.Option(help="The key's public half.")] = None,
) -> None:
    """Exit code 1: something could not be signed, or does not verify; 2: wrong files."""
    console = terminal()
    try:
        read = Release.load(release)
        signer: Signer = Key(key) if key else Workflow.load()
        checker: Signer = Key(public) if public else signer
        told = {part: sorted(boms.glob(f"{part}.*.cdx.json")) for part in read.images}
        if missing := [part for part, own in told.items() if not own]:  # before one is signed
            raise ManifestError(f"{boms} has no SBOM of {', '.join(missing)}")
        for part, reference in read.images.items():
            sign(reference, signer, [*told[part], *boms.glob("models.cdx.json")])
            named = verify(reference, checker)
            console.print(Text(f"  ✓ {part}: {named} components, {reference}"))
        if read.chart:
            with tempfile.TemporaryDirectory() as folder:
                sign(read.chart, signer, [contents(read, Path(folder))])
            named = verify(read.chart, checker)
            console.print(Text(f"  ✓ chart: {named} images, {read.chart}"))
    except (ManifestError, ToolMissing) as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(2) from error
    except SignatureError as error:
        console.print(Text(f"  ✗ {one_line(str(error), 300)}"))
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
