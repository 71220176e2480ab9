"""Check an audit log: that no line was changed, moved or removed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bulkhead.audit import head_path
from bulkhead.chain import ChainError, Head, verify
from client.screen import one_line, terminal
from embedded.parts import state

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

Logs = Annotated[
    list[Path] | None,
    typer.Argument(help="The logs; left out, those of make serve.", metavar="[FILE]..."),
]


@app.callback()
def audit() -> None:
    """Check an audit log: that no line was changed, moved or removed."""


@app.command("verify")
def verify_logs(
    files: Logs = None,
    head: Annotated[
        Path | None,
        typer.Option(help="A copy of its .head that was kept elsewhere; left out, the one beside."),
    ] = None,
) -> None:
    """Exit code 0: every line is as it was written; 1: one is not, or is missing; 2: no log.

    Of several retrievers each writes a log of its own: name all of them.
    """
    console = terminal()
    folder = state().retriever
    logs = files or sorted(folder.glob("audit*.jsonl")) or [folder / "audit.jsonl"]
    if head and len(logs) > 1:
        console.print("a head is of one log: name that one")
        raise typer.Exit(2)
    results = [_verified(console, log, head, named=len(logs) > 1) for log in logs]
    if len(logs) > 1 and not any(code for _, code in results):
        lines = sum(count for count, _ in results)
        console.print(f"  {lines} lines in {len(logs)} logs, each as it was written")
    codes = {code for _, code in results}
    raise typer.Exit(1 if 1 in codes else max(codes))


def _verified(console: Console, path: Path, head: Path | None, *, named: bool) -> tuple[int, int]:
    """How many lines a log has, and the exit code for it alone."""
    if named:
        console.print(Text(one_line(path.name, 200)))
    try:
        # The head first: the service writes it after the lines, so it is never ahead of them.
        kept = Head.load((head or head_path(path)).read_bytes())
        with path.open("rb") as lines:
            verified = verify(lines, kept)
    except OSError as error:
        name = Path(error.filename or path).name
        console.print(Text(f"cannot read {one_line(name, 200)}: {error.strerror}"))
        return 0, 2
    except ChainError as error:
        console.print(Text(f"BROKEN: {error}"))
        return 0, 1
    console.print(f"  {verified.head.seq} lines, each as it was written")
    if verified.beyond_head:
        console.print(f"  {verified.beyond_head} of them are newer than the head")
    if verified.torn_bytes:
        console.print(
            f"  {verified.torn_bytes} bytes of an unfinished line at the end: it is being written, "
            "or a crash cut it off"
        )
    return verified.head.seq, 0


if __name__ == "__main__":
    app()
