"""What a person gets from `docker compose up`, asked from outside."""

import json
import os
import subprocess
from typing import Any

import pytest
from compose_file import ROOT
from compose_rules import ONE_SHOTS, violations
from compose_stack import GRAFANA_PORT, PORT, Stack
from making import pdf, word
from rig import PORTS

from diagnosis.project import project, variables

PROJECT = f"com.docker.compose.project={project(variables())}"
_KILLED = 128 + 9
QUESTION = "Which port does the embedding service listen on?"
BACKUPS = (
    "# Backups\n\nThe nightly backup starts at 02:15 and takes 40 minutes. "
    "Restores are tested on the first Monday of every month."
)
ABOUT_BACKUPS = (
    "When does the nightly backup start?",
    "How long does the nightly backup take?",
    "When are restores tested?",
)


def ask(stack: Stack, question: str) -> tuple[str, dict[str, Any]]:
    """A streamed answer: its words, and its last chunk before `[DONE]`."""
    body = {"messages": [{"role": "user", "content": question}], "stream": True, "max_tokens": 48}
    words, ending = "", {}
    with stack.api.stream("POST", "/v1/chat/completions", json=body, timeout=180) as reply:
        assert reply.status_code == 200, reply.read()
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                ending = json.loads(line[6:])
                for choice in ending.get("choices", []):
                    words += choice["delta"].get("content") or ""
    return words, ending


def test_what_compose_itself_renders_holds_every_rule(stack: Stack) -> None:
    """Without the override: the file that people run, with every part that can be left out."""
    parts = [f"--profile={one}" for one in ("tools", "observability", "quality", "valkey", "login")]
    for profile in ("cpu", "vllm-cpu", "gpu", "gpu-embedding"):
        command = ["docker", "compose", f"--profile={profile}", *parts, "config", "--format=json"]
        # Compose leaves a runtime without a name out.
        told = os.environ | {"TOOL_RUNTIME": "runsc"}
        config = json.loads(subprocess.check_output(command, cwd=ROOT, env=told))
        assert violations(config) == []


def test_a_document_goes_in_is_found_and_is_quoted_in_a_streamed_answer(stack: Stack) -> None:
    assert stack.readiness()["status"] == "ready", "`up --wait` came back too early"
    job = stack.api.ingest(
        {"text": PORTS, "title": "Ports", "source": "ports.md"},
        {"text": BACKUPS, "title": "Backups", "source": "backups.md"},
    )
    assert job["state"] == "succeeded", job

    found = stack.api.post("/v1/search", json={"query": QUESTION, "top_k": 1}).json()["results"]
    assert found[0]["source"] == "ports.md" and "8081" in found[0]["text"]

    said, citations = [], []
    for question in ABOUT_BACKUPS:
        words, ending = ask(stack, question)
        said.append(words)
        citations += ending["citations"]
    assert all(words.strip() for words in said)
    # A small model's words do not always hold enough of the source's for a citation.
    assert citations, f"no citation in any of: {said}"
    for citation in citations:
        text = stack.api.text(citation["document_id"])
        assert text[citation["start"] : citation["end"]] == citation["quote"]


def test_files_are_read_by_the_parser_over_its_socket_and_a_broken_one_is_told(
    stack: Stack,
) -> None:
    stack.until_ready()
    cranes = "The crane at berth {} lifts 40 tonnes."
    files = {
        "cranes.pdf": pdf("The first page.", cranes.format("seven")),
        "cranes.docx": word(lambda document: document.add_paragraph(cranes.format("nine"))),
        "broken.pdf": b"%PDF-1.7 and nothing that a PDF has",
    }
    reply = stack.api.post("/v1/documents", files=[("files", one) for one in files.items()])
    assert reply.status_code == 202, reply.text

    job = stack.api.finished(reply.json()["id"])

    assert (job["state"], job["counts"]["added"]) == ("partial", 2), job
    assert [one["source"] for one in job["errors"]] == ["broken.pdf"]
    asked = {"query": "Which crane lifts 40 tonnes?", "top_k": 2, "mode": "sparse"}
    found = stack.api.post("/v1/search", json=asked).json()["results"]
    texts = {one["source"]: one["text"] for one in found}
    assert cranes.format("seven") in texts["cranes.pdf"]
    assert cranes.format("nine") in texts["cranes.docx"]


def test_only_the_retriever_and_grafana_are_published_and_only_on_loopback(stack: Stack) -> None:
    told = subprocess.check_output(
        ["docker", "ps", "--format", "{{.Ports}}", "--filter", f"label={PROJECT}"],
        text=True,
    )
    published = [port for line in told.splitlines() for port in line.split(", ") if "->" in port]
    assert sorted(published) == [
        f"127.0.0.1:{PORT}->8080/tcp",
        f"127.0.0.1:{GRAFANA_PORT}->3000/tcp",
    ]


def test_the_log_says_where_the_key_is_and_not_what_it_is(stack: Stack) -> None:
    log = stack.log("examples")
    assert log[-1] == "  the key for it   docker compose exec retriever cat /run/secrets/api-key"
    assert log[-2] == f"  in a browser     http://127.0.0.1:{PORT}/"
    assert "The stack is up." in log
    assert stack.api.headers["Authorization"].removeprefix("Bearer ") not in stack.compose("logs")


def test_our_images_have_no_installer_and_no_compiler(stack: Stack) -> None:
    script = (
        "for tool in pip pip3 cc gcc uv; do command -v $tool; done; "
        "python -m pip --version 2>/dev/null; /usr/local/bin/python -m pip --version 2>/dev/null; :"
    )
    for service in (
        "llm-cpu",
        "retriever",
        "ingest",
        "embedding",
        "ingress",
        "mcp-filesystem",
        "mcp-database",
        "parser",
        "quality",
    ):
        assert stack.compose("exec", "-T", service, "sh", "-c", script) == "", service


def test_a_killed_retriever_loses_no_document(stack: Stack) -> None:
    stack.until_ready()
    documents = [{"text": f"{PORTS} Number {n}.", "source": f"{n}.md"} for n in range(40)]
    job = stack.api.post("/v1/documents", json={"documents": documents}).json()

    stack.kill("ingest")
    stack.kill("retriever")

    stack.until_ready()
    done = stack.api.finished(job["id"])
    assert done["state"] == "succeeded" and done["counts"]["total"] == 40, done


def test_a_killed_ingress_comes_back(stack: Stack) -> None:
    stack.kill("ingress")
    stack.until_ready()


@pytest.mark.parametrize(
    ("service", "part", "status"),
    [
        ("embedding", "embedding", 200),
        ("qdrant", "qdrant", 503),
        ("mcp-filesystem", "mcp-filesystem", 200),
        ("postgres", "mcp-database", 200),
        ("llm-cpu", "llm", 200),
    ],
)
def test_a_part_that_is_away_is_named_and_the_rest_works(
    stack: Stack, service: str, part: str, status: int
) -> None:
    stack.until_ready()
    stack.compose("stop", service)
    try:
        stack.until(lambda: stack.readiness()["parts"][part]["state"] == "down", 120)
        parts = stack.readiness()["parts"]
        assert [name for name, one in parts.items() if one["state"] == "down"] == [part]
        assert stack.api.get("/readyz").status_code == status
        assert stack.api.get("/v1/documents").status_code == 200
        search = stack.api.post("/v1/search", json={"query": QUESTION})
        assert search.status_code == (503 if part == "qdrant" else 200), search.text
    finally:
        stack.compose("start", service)


def test_a_parser_that_is_away_is_named_while_files_wait_for_it_and_the_rest_works(
    stack: Stack,
) -> None:
    stack.until_ready()
    stack.compose("stop", "parser")
    try:
        file = ("away.pdf", pdf("The crane at berth twelve lifts 60 tonnes."))
        job = stack.api.post("/v1/documents", files=[("files", file)]).json()["id"]
        stack.until(lambda: stack.readiness()["parts"]["ingest"]["state"] == "down", 120)
        assert "parser" in stack.readiness()["parts"]["ingest"]["detail"]
        assert stack.api.get("/readyz").status_code == 200
        assert stack.api.post("/v1/search", json={"query": QUESTION}).status_code == 200
        assert stack.api.ingest({"text": PORTS, "title": "Ports"})["state"] == "succeeded"
    finally:
        stack.compose("start", "parser")
    assert stack.api.finished(job)["state"] == "succeeded"
    stack.until_ready()


@pytest.mark.parametrize(
    "service",
    ["embedding", "qdrant", "mcp-filesystem", "mcp-database", "parser", "postgres", "llm-cpu"],
)
def test_a_killed_part_comes_back_by_itself_and_no_job_is_lost(stack: Stack, service: str) -> None:
    stack.until_ready()
    restarts = stack.inspect(service)["RestartCount"]
    job = stack.api.post(
        "/v1/documents",
        json={"documents": [{"text": f"{PORTS} Told by {service}.", "source": f"{service}.md"}]},
    ).json()

    stack.kill(service)

    stack.until(lambda: stack.inspect(service)["RestartCount"] > restarts, 120)
    stack.until_ready()
    state = stack.api.finished(job["id"])["state"]
    assert state in ("succeeded", "failed"), "a job is never lost"


def test_data_and_secrets_survive_down_and_up_and_a_stop_loses_no_job(stack: Stack) -> None:
    text = " ".join(f"Sentence {n} of a long document about cranes." for n in range(400))
    reply = stack.api.post("/v1/documents", json={"documents": [{"text": text, "title": "Cranes"}]})
    assert reply.status_code == 202
    stack.compose("stop", "--timeout", "100", seconds=300)
    asked = set(stack.compose("config", "--services").split()) - ONE_SHOTS
    killed = [one for one in asked if stack.inspect(one)["State"]["ExitCode"] == _KILLED]
    assert killed == [], "they did not end when they were asked to"
    stack.compose("down")

    stack.compose("up", "--detach", seconds=300)
    stack.until(lambda: stack.readiness()["parts"]["embedding"]["state"] == "up", 300)
    stack.until(lambda: stack.api.get("/readyz").status_code == 200, 300)

    assert stack.api.finished(reply.json()["id"])["state"] == "succeeded"
    titles = {one["title"] for one in stack.api.get("/v1/documents").json()["data"]}
    assert {"Cranes", "Ports"} <= titles
