"""Prints what each image built here adds to its base, beside its budget; 1 when one is over it.

The base itself is not counted: which it is, is a build argument. Exit code 2: there is no engine,
or an image is not built.
"""

from typing import Annotated

import typer
from rich.table import Table

from client.screen import terminal
from sandbox.engine import EngineError, docker

BUDGETS = {
    "retriever": 400,
    "parser": 400,
    "mcp-filesystem": 250,
    "mcp-database": 250,
    "embedding": 1100,
    "fetcher": 70,
    "llm": 150,
    "quality": 100,
    "examples": 20,
    "ingress": 1,
    "secrets": 1,
}
"""MB, of 10^6 bytes. Embedding's holds with torch's CPU build."""
_FIRST = "LABEL org.opencontainers.image.title"  # begins the last stage of each of our Dockerfiles


def added(image: str) -> float:
    """MB that `image` adds to its base. Raises `EngineError` when it is not built by us."""
    history = docker("history", "--no-trunc", "--human=false", "--format={{.Size}} {{.CreatedBy}}",
                     f"bulkhead/{image}").output  # fmt: skip
    size = 0
    for layer in history.splitlines():  # newest first
        number, _, command = layer.partition(" ")
        size += int(number)
        if _FIRST in command:
            return size / 1e6
    raise EngineError(f"bulkhead/{image} does not begin with {_FIRST}")


def main(
    images: Annotated[list[str] | None, typer.Argument(help="Names; all by default.")] = None,
) -> None:
    """Measure the images."""
    console, table, over = terminal(), Table("image", "adds to its base", "budget"), False
    try:
        for image in images or BUDGETS:
            size = added(image)
            over = over or size > BUDGETS[image]
            table.add_row(image, f"{size:,.1f} MB", f"{BUDGETS[image]:,} MB")
    except EngineError as error:
        console.print(f"images: {error}", style="bold red", markup=False)
        raise typer.Exit(2) from error
    console.print(table)
    raise typer.Exit(int(over))


if __name__ == "__main__":
    typer.run(main)
