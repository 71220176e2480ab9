"""`make serve` and `make demo`: the whole stack as processes on this machine, until Ctrl-C.

Exit codes: 0 all went well, 1 a step of the demo failed or a setting is wrong, 2 usage, 3 a port is
taken, 4 too little memory, 5 too little disk, 6 a part's process ended, 7 a part did not become
ready in time, 130 or 143 interrupted before it was up, or before the demo was through.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from honcho.printer import Printer
from rich.console import Console
from rich.text import Text

from bulkhead.private import keep_private
from client import demo as demonstration
from client.api import Retriever
from client.screen import one_line, terminal
from embedded import models, preflight, summary, tools
from embedded.counts import Counts
from embedded.errors import Interrupted, StackError
from embedded.parts import ROOT, Part, parts, retriever_url, state
from embedded.prometheus import prometheus
from embedded.quality import handing_over, quality
from embedded.readiness import await_ready
from embedded.supervisor import Supervisor

_OBSERVE = "Also start the quality service, and Prometheus if installed; else show a summary."

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@dataclass(frozen=True)
class Outcome:
    """How a command went: what it ends with, and whether the stack stays up until Ctrl-C."""

    code: int = 0
    stays: bool = True


@app.command()
def serve(
    logs: Annotated[bool, typer.Option(help="Also show what the processes print.")] = False,
    observe: Annotated[bool, typer.Option(help=_OBSERVE)] = False,
) -> None:
    """Run the stack until Ctrl-C."""
    console = terminal()

    def tell(key: str) -> Outcome:
        demonstration.show_next_steps(retriever_url(), state().key, key, console)
        console.print("The stack is up. Ctrl-C ends it.")
        return Outcome()

    raise typer.Exit(run(tell, console, Printer(sys.stdout) if logs else None, observe))


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="End after the answers.")] = False,
    observe: Annotated[bool, typer.Option(help=_OBSERVE)] = False,
) -> None:
    """Run the stack, ingest this project's documents and ask three questions."""
    console = terminal()

    def show(key: str) -> Outcome:
        with Retriever(retriever_url(), key) as retriever:
            problems = demonstration.run(retriever, console)
        for problem in problems:
            console.print(Text(f"demo: failed {one_line(problem, 300)}", style="bold red"))
        outcome = Outcome(1 if problems else 0, sys.stdin.isatty() and sys.stdout.isatty())
        if once or not outcome.stays:
            return replace(outcome, stays=False)
        demonstration.show_next_steps(retriever_url(), state().key, key, console)
        console.print("The stack stays up. Ctrl-C ends it.")
        return outcome

    raise typer.Exit(run(show, console, None, observe))


def run(
    body: Callable[[str], Outcome],
    console: Console,
    printer: Printer | None = None,
    observe: bool = False,
) -> int:
    """Start the stack, call `body` with the admin key once it is ready, end it; the exit code.

    `observe` adds the quality service and Prometheus; without Prometheus a summary is shown.
    """
    outcome: Outcome | None = None
    try:
        kept = state()
        keep_private(kept.logs)  # and all that is made from here on, by the parts too
        wanted = parts(kept, handing_over(kept)) if observe else parts(kept)
        watcher: Part | None = None
        if observe:
            wanted.append(quality(kept))
            watcher = prometheus(kept, wanted)
        if watcher is not None:
            wanted.append(watcher)
        if kept.key.exists():
            kept.folder.chmod(0o700)  # releases before let PostgreSQL's user in
        preflight.check(wanted, kept)
        if any(part.name == "llm" for part in wanted):
            models.bring()
            preflight.ensure_key(kept.llm_key, prefix="")
        key = preflight.ensure_key(kept.key)
        preflight.ensure_key(kept.state_password, prefix="")
        tools.prepare(kept)
        logs = kept.logs.relative_to(ROOT) if kept.logs.is_relative_to(ROOT) else kept.logs
        console.print(Text(f"Starting the stack; what its parts print is in {logs}/"))
        with Supervisor(wanted, kept.logs, printer) as supervisor:
            await_ready(wanted, console)
            outcome = body(key)
            if watcher is not None:
                console.print(f"Prometheus is at {watcher.url}")
            elif observe and outcome.stays:
                summary.show(wanted, console)
            elif observe:
                console.print(summary.summary(Counts.read(wanted)))
            if outcome.stays:
                supervisor.wait()
            return outcome.code
    except StackError as error:
        console.print(Text(f"stack: {one_line(str(error), 500)}", style="bold red"))
        return error.code
    except Interrupted as interrupted:
        console.print("Ended.")
        return interrupted.code if outcome is None else outcome.code


if __name__ == "__main__":
    app()
