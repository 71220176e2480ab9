"""The examples in their container: in once, from an image, and not again."""

from typing import Any

from compose_file import ROOT
from compose_stack import Stack

QUESTION = "When does the nightly backup start?"


def taken_in(stack: Stack) -> str:
    """The first line of the examples, started anew."""
    stack.environment["BULKHEAD_EXAMPLES"] = "true"
    try:
        stack.compose("rm", "--force", "--stop", "examples")
        # Started by itself: what it waits for is up.
        stack.compose("up", "--no-deps", "--exit-code-from", "examples", "examples", seconds=600)
        return stack.log("examples")[0]
    finally:
        stack.environment["BULKHEAD_EXAMPLES"] = "false"


def documents(stack: Stack) -> list[dict[str, Any]]:
    """Up to a thousand documents of the stack: all."""
    listed: list[dict[str, Any]] = stack.api.get("/v1/documents?limit=1000").json()["data"]
    return listed


def emptied(stack: Stack) -> None:
    for one in documents(stack):
        stack.api.delete(f"/v1/documents/{one['id']}").raise_for_status()
    assert documents(stack) == []


def test_the_examples_go_in_once_and_stay_away_when_they_were_deleted(stack: Stack) -> None:
    stack.until_ready()
    emptied(stack)  # of what other tests brought
    wanted = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    wanted |= {f"examples/documents/{p.name}" for p in (ROOT / "examples/documents").iterdir()}

    assert taken_in(stack) == f"{len(wanted)} documents are in"
    assert {one["source"] for one in documents(stack)} == wanted
    found = stack.api.post("/v1/search", json={"query": QUESTION, "top_k": 3}).json()["results"]
    assert any("02:15" in one["text"] for one in found)
    assert taken_in(stack) == "documents are in already"

    emptied(stack)
    assert taken_in(stack) == "the examples were taken in before"
    assert documents(stack) == []
