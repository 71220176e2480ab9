"""`make ingest DIR=…`: hand a folder's documents in, or keep the retriever in step with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from client.connect import NOT_UP, connected
from client.screen import one_line, terminal
from client.upload import KINDS, find, ingest
from client.watch import Mirror, keep_in_step

MOST_SKIPPED_SHOWN = 10


def main(
    folder: Annotated[
        Path | None, typer.Argument(envvar="DIR", help="A folder of documents.")
    ] = None,
    watch: Annotated[
        bool, typer.Option(envvar="WATCH", help="Stay, and follow every change of the folder.")
    ] = False,
    prefix: Annotated[
        str, typer.Option(envvar="PREFIX", help="Put before each path, to tell folders apart.")
    ] = "",
) -> None:
    """Ingest the documents of a folder into the running stack."""
    console = terminal()
    if folder is None:
        console.print('usage: make ingest DIR="a folder of documents"', markup=False)
        raise typer.Exit(NOT_UP)
    folder = folder.expanduser()
    if not folder.is_dir():
        console.print(Text(f"ingest: {folder} is not a folder"))
        raise typer.Exit(1)
    files = [] if watch else _to_hand_in(folder, prefix, console)
    with connected(console) as retriever:
        if watch:
            _follow(Mirror(retriever, folder, prefix, console), console)
            return
        problems = ingest(retriever, files, console)
    console.print(f"  {len(files) - len(problems)} of {len(files)} documents are in")
    raise typer.Exit(1 if problems else 0)


def _to_hand_in(folder: Path, prefix: str, console: Console) -> list[tuple[str, Path]]:
    found = find(folder)
    _tell_skipped(found.skipped, folder, console)
    if not found.files:
        kinds = " ".join(sorted(KINDS))
        console.print(Text(f"ingest: {folder} holds no document ({kinds})"))
        raise typer.Exit(1)
    return [(prefix + path.relative_to(folder).as_posix(), path) for path in found.files]


def _follow(mirror: Mirror, console: Console) -> None:
    console.print(Text(f"  keeping {mirror.folder} in step; Ctrl-C ends it"))
    try:
        keep_in_step(mirror, console)
    except KeyboardInterrupt:
        console.print("  stopped; what is in stays in")


def _tell_skipped(skipped: Sequence[Path], folder: Path, console: Console) -> None:
    if not skipped:
        return
    shown = ", ".join(str(path.relative_to(folder)) for path in skipped[:MOST_SKIPPED_SHOWN])
    more = (
        f" and {len(skipped) - MOST_SKIPPED_SHOWN} more"
        if len(skipped) > MOST_SKIPPED_SHOWN
        else ""
    )
    console.print(Text(f"  skipped, not a kind that is read: {one_line(shown, 1000)}{more}"))


if __name__ == "__main__":
    typer.run(main)
