"""The running stack, for the scripts that ask it something."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from client.api import NotReachable, Retriever, RetrieverError
from embedded.errors import StackError
from embedded.parts import retriever_url, state
from embedded.preflight import read_key

NOT_UP = 2
"""Exit code where there is no stack to talk to, or nothing was asked of it."""


@contextmanager
def connected(
    console: Console, url: str | None = None, key_file: Path | None = None
) -> Iterator[Retriever]:
    """A client of the stack on this machine with its operator's key, or of `url` with another key.

    What goes wrong in the body is one line, and ends the command: with 2 where no stack is up, with
    1 where it said no.
    """
    try:
        with Retriever(url or retriever_url(), read_key(key_file or state().key)) as retriever:
            yield retriever
    except (FileNotFoundError, NotReachable) as error:
        reason = "no key yet" if isinstance(error, FileNotFoundError) else str(error)
        console.print(
            Text(f"the stack is not up ({reason}): start it with make demo or make serve")
        )
        raise typer.Exit(NOT_UP) from error
    except (StackError, RetrieverError) as error:
        console.print(Text(str(error)))
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
