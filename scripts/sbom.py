"""Write what each part is made of, and tell what changed between two of them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from client.screen import one_line, terminal
from sandbox.engine import EngineError, docker
from supply import sbom
from supply.tools import ToolMissing

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made if it is not there.")],
    images: Annotated[
        bool, typer.Option(help="Those of the images too, which the engine has.")
    ] = False,
) -> None:
    """Write PART.lock.cdx.json, models.cdx.json and, with --images, PART.image.cdx.json.

    Exit code 2: a tool, the engine or an image is not there.
    """
    console = terminal()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        boms = dict(sbom.of_locks())
        for name, bom in boms.items():
            _write(folder / f"{name}.lock.cdx.json", bom)
        _write(folder / "models.cdx.json", sbom.of_models())
        for image in _built() if images else []:
            _write(folder / f"{image.rpartition('/')[2]}.image.cdx.json", sbom.of_image(image))
    except (ToolMissing, EngineError, RuntimeError) as error:
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


def _built() -> list[str]:
    """The images of this project that the engine has."""
    listed = docker("images", "--filter=reference=bulkhead/*", "--format={{.Repository}}").output
    if not listed.split():
        raise EngineError("no image of ours is here: build them first")
    return sorted(set(listed.split()))


def _write(path: Path, bom: sbom.Bom) -> None:
    path.write_text(json.dumps(bom, indent=2) + "\n")


if __name__ == "__main__":
    app()
