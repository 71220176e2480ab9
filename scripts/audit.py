"""Check an audit log: that no line was changed, moved or removed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bulkhead.audit import head_path
from bulkhead.chain import ChainError, Head, verify
from client.screen import one_line, terminal
from embedded.parts import state

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

Log = Annotated[
    Path | None, typer.Argument(help="The log; left out, the one of make serve.", metavar="[FILE]")
]


@app.callback()
def audit() -> None:
    """Check an audit log: that no line was changed, moved or removed."""


@app.command("verify")
def verify_log(
    file: Log = None,
    head: Annotated[
        Path | None,
        typer.Option(help="A copy of its .head that was kept elsewhere; left out, the one beside."),
    ] = None,
) -> None:
    """Exit code 0: every line is as it was written; 1: one is not, or is missing; 2: no log."""
    console = terminal()
    path = file or state().retriever / "audit.jsonl"
    try:
        # The head first: the service writes it after the lines, so it is never ahead of them.
        kept = Head.load((head or head_path(path)).read_bytes())
        with path.open("rb") as lines:
            verified = verify(lines, kept)
    except OSError as error:
        name = Path(error.filename or path).name
        console.print(Text(f"cannot read {one_line(name, 200)}: {error.strerror}"))
        raise typer.Exit(2) from error
    except ChainError as error:
        console.print(Text(f"BROKEN: {error}"))
        raise typer.Exit(1) from error
    console.print(f"  {verified.head.seq} lines, each as it was written")
    if verified.beyond_head:
        console.print(f"  {verified.beyond_head} of them are newer than the head")
    if verified.torn_bytes:
        console.print(
            f"  {verified.torn_bytes} bytes of an unfinished line at the end: it is being written, "
            "or a crash cut it off"
        )


if __name__ == "__main__":
    app()
