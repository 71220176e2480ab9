"""No read or write of documents and jobs without a principal: the types do not let it through."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from bulkhead.auth import Principal
from retriever.feedback import Feedback
from retriever.index.index import Index
from retriever.ingest.jobs import Jobs
from retriever.keys import Keys
from retriever.search import Searcher

ROOT = Path(__file__).parents[3]

# What works for the process itself and shows nobody anything.
OF_THE_PROCESS = {
    Index: {"open", "sweep"},
    Jobs: {"tell", "notify"},
    Keys: {"admit", "refresh", "watch"},  # the first is what gives one
}


def carries_a_principal(function: object) -> bool:
    """It takes a principal, or something that has one in it, as an addition has."""
    hints = inspect.signature(function, eval_str=True).parameters.values()  # type: ignore[arg-type]
    told = [str(hint.annotation) for hint in hints]
    return any(hint.annotation is Principal for hint in hints) or any(
        "Addition" in name or "Item" in name for name in told
    )


@pytest.mark.parametrize("kind", [Index, Jobs, Feedback, Keys, Searcher])
def test_every_public_method_takes_a_principal(kind: type) -> None:
    methods = [
        (name, method)
        for name, method in inspect.getmembers(kind)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))
        and name not in OF_THE_PROCESS.get(kind, set())
    ]
    assert methods
    for name, method in methods:
        assert carries_a_principal(method), f"{kind.__name__}.{name} takes no principal"


def test_a_call_without_a_principal_does_not_type_check(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    calls = {
        "get": "index.get('id')",
        "text": "index.text('id')",
        "page": "index.page(10, None)",
        "delete": "index.delete('id')",
        "search": "index.search(legs, 10)",
        "job": "jobs.get('id')",
        "fine": "index.get(principal, 'id')",
    }
    lines = "\n".join(f"    await {call}" for call in calls.values())
    snippet.write_text(
        "from bulkhead.auth import Principal\n"
        "from retriever.index.index import Index\n"
        "from retriever.index.vectors import Legs\n"
        "from retriever.ingest.jobs import Jobs\n\n\n"
        "async def ask(index: Index, jobs: Jobs, legs: Legs, principal: Principal) -> None:\n"
        f"{lines}\n"
    )
    config, cache = ROOT / "pyproject.toml", ROOT / ".mypy_cache"
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", f"--config-file={config}", f"--cache-dir={cache}", snippet],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    refused = {
        int(line.split(":")[1])
        for line in checked.stdout.splitlines()
        if f"{snippet.name}:" in line
    }
    first = 8
    assert refused == set(range(first, first + len(calls) - 1)), checked.stdout
