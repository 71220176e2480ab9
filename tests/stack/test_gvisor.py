"""The tool servers and the parser on gVisor, by TOOL_RUNTIME: they do their work, and every wall of
`make sandbox-check` holds around them."""

import json
from collections.abc import Iterator

import pytest
from compose_stack import Stack
from engine_runtime import gvisor
from making import pdf, word
from tool_chat import QUERY, READ, chat, outcomes, scripted_model

from diagnosis.project import project, variables
from sandbox.check import check
from sandbox.scorecard import Finding, Verdict
from sandbox_check import EXPECTED_OPEN

CRANES = "The crane at berth {} lifts 90 tonnes."


@pytest.fixture(scope="module")
def walled(stack: Stack) -> Iterator[set[str]]:
    """The services that gVisor runs, while it does, with a model that calls their tools."""
    with gvisor() as runtime:
        stack.environment["TOOL_RUNTIME"] = runtime
        config = json.loads(stack.compose("config", "--format=json"))["services"]
        names = {name for name, one in config.items() if one.get("runtime") == runtime}
        up = ("up", "--detach", "--wait", "--no-deps", *sorted(names))
        try:
            stack.compose(*up, seconds=600)
            with scripted_model(stack):
                yield names
        finally:
            del stack.environment["TOOL_RUNTIME"]
            stack.compose(*up, seconds=600)
            stack.until_ready()


def test_the_servers_that_ship_and_the_parser_are_under_the_runtime_that_is_named(
    stack: Stack, walled: set[str]
) -> None:
    assert {"mcp-filesystem", "mcp-database", "parser"} <= walled
    for name in walled:
        assert stack.inspect(name)["HostConfig"]["Runtime"] == stack.environment["TOOL_RUNTIME"]


def test_a_file_a_query_and_documents_go_through_them(stack: Stack, walled: set[str]) -> None:
    reply = chat(stack, READ, QUERY)
    assert outcomes(reply) == [(READ[0], "done"), (QUERY[0], "done")], reply["steps"]
    files, rows = (step["text"] for step in reply["steps"])
    assert "Glossary" in files and "62" in rows

    told = {
        "cranes.pdf": pdf("The first page.", CRANES.format("two")),
        "cranes.docx": word(lambda document: document.add_paragraph(CRANES.format("five"))),
        "broken.pdf": b"%PDF-1.7 and nothing that a PDF has",
    }
    sent = stack.api.post("/v1/documents", files=[("files", one) for one in told.items()])
    assert sent.status_code == 202, sent.text
    job = stack.api.finished(sent.json()["id"])
    assert (job["state"], job["counts"]["added"]) == ("partial", 2), job
    assert [one["source"] for one in job["errors"]] == ["broken.pdf"]
    asked = {"query": "Which crane lifts 90 tonnes?", "top_k": 2, "mode": "sparse"}
    found = stack.api.post("/v1/search", json=asked).json()["results"]
    assert {one["source"] for one in found} == {"cranes.pdf", "cranes.docx"}


@pytest.fixture(scope="module")
def findings(stack: Stack, walled: set[str]) -> list[Finding]:
    stack.until_ready()
    return check(project(variables()))


def test_each_has_gvisors_kernel_and_nobody_else_is_said_to_have_one(
    walled: set[str], findings: list[Finding]
) -> None:
    kernels = {one.service: one for one in findings if one.wall == "kernel"}
    assert {name for name, one in kernels.items() if one.verdict is Verdict.HOLDS} == walled
    for name in walled:
        assert "Starting gVisor" in kernels[name].evidence
    others = {one.verdict for name, one in kernels.items() if name not in walled}
    assert others == {Verdict.ABSENT}


def test_every_other_wall_holds_around_them_and_around_all_others(
    walled: set[str], findings: list[Finding]
) -> None:
    # Without a way to the internet there is nothing to compare with.
    weak = [
        one
        for one in findings
        if one.service in walled and one.verdict is not Verdict.HOLDS and one.wall != "internet"
    ]
    assert weak == []
    opened = {(one.service, one.wall) for one in findings if one.verdict is Verdict.OPEN}
    ours = {one for one in opened if one[0] != "llm-scripted"}  # a test's, without walls
    assert ours <= EXPECTED_OPEN
    said = {one.service: one.evidence for one in findings if one.wall == "neighbours"}
    assert "reaches postgres:5432" in said["mcp-database"]
    assert "reaches" not in said["mcp-filesystem"] and "reaches" not in said["parser"]


def test_they_answer_after_all_that(stack: Stack, findings: list[Finding]) -> None:
    stack.until_ready()
    reply = chat(stack, READ, QUERY)
    assert outcomes(reply) == [(READ[0], "done"), (QUERY[0], "done")], reply["steps"]
