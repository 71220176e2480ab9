"""Every wall of every container, tried by `make sandbox-check`, each with its control."""

import re

import pytest
from compose_rules import ONE_SHOTS
from compose_stack import Stack

from diagnosis.project import project, variables
from sandbox.check import check
from sandbox.scorecard import Finding, Verdict
from sandbox_check import EXPECTED_OPEN

SOCKET = "/run/mcp-filesystem/mcp.sock"
# Without a way to the internet there is nothing to compare with.
NEEDS_INTERNET = {"internet"}
# Images of one program: nothing in them could run these two, and the check has to say so.
NO_TOOLS = {"otel-collector", "tempo"}
NEEDS_TOOLS = {"fork bomb", "user namespace"}


@pytest.fixture(scope="module")
def findings(stack: Stack) -> list[Finding]:
    stack.until(lambda: stack.api.get("/readyz").status_code == 200, 120)
    return check(project(variables()))


def test_every_wall_holds_and_every_look_finds_the_probe_without_walls(
    stack: Stack, findings: list[Finding]
) -> None:
    wanted = set(stack.compose("config", "--services").split()) - ONE_SHOTS
    assert {finding.service for finding in findings} == wanted
    weak = [
        finding
        for finding in findings
        if finding.verdict is not Verdict.HOLDS
        and finding.wall != "kernel"  # test_gvisor.py has it
        and (finding.service, finding.wall) not in EXPECTED_OPEN
        and finding.wall not in NEEDS_INTERNET
        and not (finding.service in NO_TOOLS and finding.wall in NEEDS_TOOLS)
    ]
    assert weak == []
    assert not [one for one in findings if one.wall == "internet" and one.verdict is Verdict.OPEN]


def test_what_an_image_without_tools_cannot_run_is_unproven_in_words(
    findings: list[Finding],
) -> None:
    found = [one for one in findings if one.service in NO_TOOLS and one.wall in NEEDS_TOOLS]
    assert len(found) == len(NO_TOOLS) * len(NEEDS_TOOLS)
    for one in found:
        assert one.verdict is Verdict.UNPROVEN
        assert "neither a Python nor a shell" in one.evidence


def test_who_talks_to_whom_is_reached_and_nobody_else(findings: list[Finding]) -> None:
    """The positive half: were nothing reached at all, the walls would prove nothing."""
    said = {one.service: one.evidence for one in findings if one.wall == "neighbours"}
    assert "reaches retriever:8080" in said["ingress"]
    assert "reaches embedding:8081" in said["retriever"]
    for who in ("retriever", "ingest"):
        assert "reaches state:5432" in said[who]
    for who in ("mcp-database", "postgres", "ingress", "qdrant"):
        assert "not state:5432" in said[who]
    assert "not postgres:5432" in said["ingest"] and "not mcp-database:8091" in said["ingest"]
    assert "not embedding:8081" in said["qdrant"] and "not embedding:8081" in said["ingress"]
    assert "reaches mcp-database:8091" in said["retriever"]
    assert "reaches postgres:5432" in said["mcp-database"]
    assert "not postgres:5432" in said["retriever"] and "not qdrant:6333" in said["mcp-database"]


def test_the_file_server_has_a_socket_for_the_retriever_and_no_network(
    findings: list[Finding],
) -> None:
    said = {one.service: one.evidence for one in findings if one.wall == "neighbours"}
    assert f"shares {SOCKET} with mcp-filesystem" in said["retriever"]
    assert f"shares {SOCKET} with retriever" in said["mcp-filesystem"]
    assert "reaches" not in said["mcp-filesystem"]
    assert [name for name, words in said.items() if SOCKET in words] == [
        "mcp-filesystem",
        "retriever",
    ]


def test_the_parser_has_a_socket_for_the_worker_and_no_network(
    findings: list[Finding],
) -> None:
    said = {one.service: one.evidence for one in findings if one.wall == "neighbours"}
    (socket,) = re.findall(r"shares (/run/parser/\w+\.sock) with ingest", said["parser"])
    assert f"shares {socket} with parser" in said["ingest"]
    assert "reaches" not in said["parser"]
    assert [name for name, words in said.items() if socket in words] == ["ingest", "parser"]


def test_the_stack_still_answers_after_all_that(stack: Stack, findings: list[Finding]) -> None:
    stack.until_ready()
