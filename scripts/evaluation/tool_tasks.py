"""Twenty tasks over the two tool servers, asked of a real model: how many end right.

    make serve
    .venv/bin/python -m evaluation.tool_tasks          # in scripts/

The right values are taken from the sample database's rows and the demo's files. The search finds
nothing for these questions, so that what is right came from a tool.
"""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from embedded.parts import ROOT
from evaluation.bootstrap import estimate
from evaluation.client import RetrieverClient
from evaluation.errors import EvaluationError
from evaluation.replies import ChatReply
from mcp_database.sample import data

NO_DOCUMENTS = {"source": "none of the documents"}
_WRITTEN_CALL = re.compile(r"<tool_call>|[\"'](?:arguments|parameters)[\"']\s*:")

FILES, ROWS, BOTH = "files", "database", "both"


@dataclass(frozen=True)
class Task:
    """A question, the servers that it needs, and what a right answer holds."""

    kind: str
    question: str
    holds: tuple[str, ...]


def right(answer: str, holds: tuple[str, ...]) -> bool:
    """Whether each of these stands in the answer as a word or number of its own.

    Numbers may have thousands separators; case does not count.
    """
    said = re.sub(r"(?<=\d)[,\u202f\u00a0](?=\d{3}\b)", "", answer).casefold()
    return all(
        re.search(rf"(?<!\w)(?<!\d\.){re.escape(one.casefold())}(?!\w|\.\d)", said) for one in holds
    )


def tasks(root: Path = ROOT) -> list[Task]:
    """The twenty, with right values of the rows and files that there are."""
    services, incidents = data.services(), data.incidents()
    keel = [row for row in services if row[4] == "keel-01"]
    of_2026 = [row for row in incidents if str(row[5]).startswith("2026")]
    rolled_back = [
        row for row in data.deployments() if row[2] == data.ASK and row[8] == "rolled back"
    ]
    august = [row[5] for row in data.costs() if row[2] == data.ASK and str(row[3]) == "2026-08-01"]

    def lines(path: str) -> str:
        return str(len((root / path).read_text(encoding="utf-8").splitlines()))

    def incidents_where(true: Callable[[data.Row], bool]) -> str:
        return str(sum(map(true, incidents)))

    def handled(person: str) -> str:
        return incidents_where(lambda row: row[8] == person)

    folder = "examples/documents"
    plan, runbook, words = (
        f"{folder}/{name}" for name in ("capacity-plan-2027.md", "night-runbook.txt", "glossary.md")
    )
    pdfs = str(len(list((root / folder).glob("*.pdf"))))
    worst = next(row for row in incidents if row[0] == "INC-112")
    return [
        Task(FILES, f"Read the file {runbook}. Which version is it?", ("17",)),
        Task(FILES, f"How many lines does the file {words} have?", (lines(words),)),
        Task(FILES, f"How many PDF files are in the folder {folder}?", (pdfs,)),
        Task(FILES, f"Which file in {folder} holds the text 'L40S'?", ("capacity-plan-2027.md",)),
        Task(
            FILES,
            f"How many bytes does the file {plan} have?",
            (str((root / plan).stat().st_size),),
        ),
        Task(FILES, f"Read {plan}. Who approved the plan?", ("Zoë Lindqvist",)),
        Task(FILES, f"Read {words}. What is a chunk?", ("searched as one unit",)),
        Task(ROWS, "How many rows does the table harbour.incidents have?", (str(len(incidents)),)),
        Task(ROWS, "How many incidents began in 2026, by the database?", (str(len(of_2026)),)),
        Task(
            ROWS,
            "How many incidents of severity SEV1 are in the table harbour.incidents?",
            (incidents_where(lambda row: row[3] == "SEV1"),),
        ),
        Task(ROWS, "Which tables can you read in the database?", ("incidents", "deployments")),
        Task(ROWS, "Who handled the incident INC-112?", (str(worst[8]),)),
        Task(
            ROWS,
            "What did the service ask-the-harbour cost in August 2026, in euros, all items"
            " together?",
            (str(int(sum(map(float, map(str, august))))),),
        ),
        Task(
            ROWS,
            "How many deployments of the service ask-the-harbour were rolled back?",
            (str(len(rolled_back)),),
        ),
        Task(
            BOTH,
            f"Procedure N2 in {runbook} names an incident. How many minutes did this incident"
            " last, by the database?",
            ("47",),
        ),
        Task(
            BOTH,
            f"The first line of {plan} after the title says who wrote it. How many incidents did"
            " this person handle, by the database?",
            (handled("Inés Carvalho"),),
        ),
        Task(
            BOTH,
            f"Who owns {runbook}, and how many incidents did this person handle, by the database?",
            ("Søren Aagaard", handled("Søren Aagaard")),
        ),
        Task(
            BOTH,
            f"How many lines does {words} have, and how many rows has the table harbour.services?",
            (lines(words), str(len(services))),
        ),
        Task(
            BOTH,
            f"Which version is {runbook}, and how many SEV2 incidents began in 2026?",
            ("17", str(sum(row[3] == "SEV2" for row in of_2026))),
        ),
        Task(
            BOTH,
            f"The summary of {plan} names a host. How many rows of harbour.services have it?",
            (str(len(keel)),),
        ),
    ]


@dataclass(frozen=True)
class Done:
    """What came of a task."""

    task: Task
    answer: str
    steps: list[tuple[str, str]]
    """The tool and the outcome of each call."""

    @property
    def right(self) -> bool:
        """Whether the answer holds what it should, and a tool was used for it."""
        return right(self.answer, self.task.holds) and any(one == "done" for _, one in self.steps)

    @property
    def shows_a_call(self) -> bool:
        """Whether a call stands in the answer as text."""
        return bool(_WRITTEN_CALL.search(self.answer))


async def asked(client: RetrieverClient, task: Task) -> Done:
    """Ask one task; no document is found, and every tool is there."""
    reply: ChatReply = await client.chat(
        {
            "messages": [{"role": "user", "content": task.question}],
            "temperature": 0,
            "rag": {"tools": True, "filters": NO_DOCUMENTS},
        }
    )
    steps = [(step.tool, step.outcome) for step in reply.steps]
    return Done(task, reply.choices[0].message.content, steps)


def table(done: list[Done]) -> Table:
    """How many are right, of each kind and in all."""
    out = Table("tasks", "right", "share", "calls", "done", "failed", "refused", "shown as text")
    for kind in (FILES, ROWS, BOTH, "all"):
        of = [one for one in done if kind in (one.task.kind, "all")]
        if not of:
            continue
        share = estimate([float(one.right) for one in of])
        outcomes = Counter(outcome for one in of for _, outcome in one.steps)
        out.add_row(
            kind,
            f"{sum(one.right for one in of)} of {len(of)}",
            f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})",
            str(outcomes.total()),
            *(str(outcomes[name]) for name in ("done", "failed", "refused")),
            str(sum(one.shows_a_call for one in of)),
        )
    return out


def main(
    url: Annotated[str, typer.Option(help="The retriever.")] = "http://127.0.0.1:8080",
    key_file: Annotated[Path, typer.Option(help="File with an API key.")] = ROOT / ".data/api-key",
) -> None:
    """Ask the tasks one after the other; each is told as it ends."""
    console = Console(width=max(Console().width, 110))

    async def run(key: str) -> list[Done]:
        done = list[Done]()
        async with RetrieverClient(url, key, timeout=1800) as client:
            for task in tasks():
                one = await asked(client, task)
                done.append(one)
                made = ", ".join(f"{tool} {outcome}" for tool, outcome in one.steps) or "no call"
                mark = "right" if one.right else "wrong"
                console.print(f"{mark}: {task.question}\n  {made}\n  {one.answer}", markup=False)
        return done

    try:
        done = asyncio.run(run(key_file.read_text(encoding="utf-8").strip()))
    except (EvaluationError, OSError) as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        sys.exit(1)
    console.print(table(done))


if __name__ == "__main__":
    typer.run(main)
