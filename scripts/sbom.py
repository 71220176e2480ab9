"""Write what each part is made of, and tell what changed between two of them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from client.screen import one_line, terminal
from release.manifest import ManifestError, Release
from supply import sbom
from supply.tools import ToolMissing

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@app.command()
def make(
    folder: Annotated[
        Path, typer.Argument(help="Where to write; made if it is not there.", envvar="OUT")
    ],
    release: Annotated[
        Path | None,
        typer.Option(help="A release.json: those of its images too, as pushed.", envvar="RELEASE"),
    ] = None,
) -> None:
    """Write PART.lock.cdx.json, models.cdx.json and, of a release, PART.image.cdx.json.

    Exit code 2: a tool, the release or an image is not there.
    """
    console = terminal()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        boms = dict(sbom.of_locks())
        for name, bom in boms.items():
            _write(folder / f"{name}.lock.cdx.json", bom)
        _write(folder / "models.cdx.json", sbom.of_models())
        images = Release.load(release).images if release else {}
        for part, reference in images.items():
            _write(folder / f"{part}.image.cdx.json", sbom.of_image(reference))
    except (ToolMissing, ManifestError, sbom.SbomError) as error:
        console.print(Text(one_line(str(error), 300)))
        raise typer.Exit(2) from error
    console.print(f"  {len(list(folder.glob('*.cdx.json')))} SBOMs in {folder}")


@app.command()
def diff(before: Path, after: Path) -> None:
    """Tell what changed between two SBOMs. Exit code 1: something did; 2: one cannot be read."""
    console = terminal()
    try:
        old, new = (json.loads(path.read_text()) for path in (before, after))
        found = sbom.changes(old, new)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        console.print(Text(one_line(f"no CycloneDX in JSON: {error}", 300)))
        raise typer.Exit(2) from error
    for name, was, became in found:
        mark = "+" if not was else "-" if not became else "~"
        console.print(Text(f"  {mark} {name}  {' → '.join(filter(None, (was, became)))}"))
    raise typer.Exit(int(bool(found)))


def _write(path: Path, bom: sbom.Bom) -> None:
    path.write_text(json.dumps(bom, indent=2) + "\n")


if __name__ == "__main__":
    app()
