"""A corpus that `docker compose run bulk` takes in, as docs/bulk.md has it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compose_file import ROOT
from compose_stack import GRAFANA_PORT, PORT, Stack

SHIPS = 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for the parser, rows, and one row that is none."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "tides.html").write_text("<h1>Tides</h1><p>Low water of bulk is at 04:17.</p>")
    rows = [
        {"text": f"The bulk ship {n} draws {n + 3} decimetres.", "source": f"bulk/{n}"}
        for n in range(SHIPS)
    ]
    lines = [*map(json.dumps, rows), "no row"]
    (folder / "ships.jsonl").write_text("\n".join(lines))
    for path in (folder, *folder.iterdir()):  # its user in the container is another
        path.chmod(0o755)
    return folder


def run(stack: Stack, corpus: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command of the docs, with this corpus."""
    ports = {"BULKHEAD_PORT": str(PORT), "GRAFANA_PORT": str(GRAFANA_PORT)}
    command = ["docker", "compose", *stack.files, "run", "--rm", "-T", "-v", f"{corpus}:/corpus:ro"]
    return subprocess.run(
        [*command, "bulk", "/corpus", *words],
        cwd=ROOT,
        env=os.environ | ports | stack.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )


def sources(stack: Stack, query: str) -> list[str]:
    reply = stack.api.post("/v1/search", json={"query": query, "top_k": 3})
    assert reply.status_code == 200, reply.text
    return [one["source"] for one in reply.json()["results"]]


def test_a_corpus_goes_in_through_the_walls_and_is_searched(stack: Stack, corpus: Path) -> None:
    stack.compose("build", "bulk", seconds=900)
    first = run(stack, corpus)
    assert first.returncode == 1, first.stdout + first.stderr  # a row failed, and is named
    assert f"{SHIPS + 1} added" in first.stdout + first.stderr
    assert "1 failed" in first.stdout + first.stderr
    assert sources(stack, "When is low water of bulk?")[0] == "tides.html"
    assert sources(stack, "bulk ship 17 draws 20 decimetres")[0] == "bulk/17"
    jobs: list[dict[str, Any]] = stack.api.get("/v1/jobs").json()["data"]
    assert any(job["counts"]["added"] == SHIPS + 1 for job in jobs)

    (corpus / "ships.jsonl").write_text("")
    mirrored = run(stack, corpus, "--mirror")
    assert mirrored.returncode == 0, mirrored.stdout + mirrored.stderr
    assert "bulk/17" not in sources(stack, "bulk ship 17 draws 20 decimetres")
    assert sources(stack, "When is low water of bulk?")[0] == "tides.html"
