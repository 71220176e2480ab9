"""`make ask Q="…"`: ask the running stack, and see the answer with its citations."""

from typing import Annotated

import typer

from client.connect import NOT_UP, connected
from client.screen import show_answer, terminal


def main(
    question: Annotated[str, typer.Argument(envvar="Q", help="What you want to know.")] = "",
) -> None:
    """Ask the running stack a question."""
    console = terminal()
    if not question.strip():
        console.print('usage: make ask Q="Which port does the retriever listen on?"')
        raise typer.Exit(NOT_UP)
    with connected(console) as retriever:
        show_answer(retriever, question, console)


if __name__ == "__main__":
    typer.run(main)
