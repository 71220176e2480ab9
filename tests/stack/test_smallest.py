"""`COMPOSE_PROFILES=cpu` alone: it answers, misses nothing, complains of nothing, and is small."""

import json
import re
import subprocess

from compose_stack import Stack
from rig import PORTS

GIB = 2**30
LEFT_OUT = ("tools", "observability", "quality")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def test_the_smallest_stack_is_ready_and_says_what_is_not_there(smallest: Stack) -> None:
    running = smallest.compose("ps", "--services").split()
    absent = {"mcp-filesystem", "mcp-database", "otel-collector", "prometheus", "tempo", "quality"}
    assert not absent & set(running)
    told = smallest.readiness()
    assert told["status"] == "ready", told
    assert {name: told["parts"][name]["state"] for name in LEFT_OUT} == dict.fromkeys(
        LEFT_OUT, "absent"
    )
    page = smallest.api.get("/web/config.json").json()
    assert (page["tools"], page["grafana_url"]) == (False, None)


def test_the_smallest_stack_answers_and_takes_less_than_two_gibibytes(smallest: Stack) -> None:
    job = smallest.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    assert job["state"] == "succeeded", job
    question = "Which port does the retriever listen on?"
    asked = {"messages": [{"role": "user", "content": question}], "max_tokens": 64}
    reply = smallest.api.post("/v1/chat/completions", json=asked, timeout=900)
    assert reply.status_code == 200, reply.text
    assert [one["source"] for one in reply.json()["citations"]] == ["ports.md"], reply.text
    # With tools, of which there are none but the search: what a model makes of that is its own.
    asked |= {"rag": {"tools": True}}
    reply = smallest.api.post("/v1/chat/completions", json=asked, timeout=900)
    assert reply.status_code == 200 and reply.json()["choices"][0]["message"]["content"], reply.text
    used = {}
    for container in smallest.compose("ps", "--quiet").split():
        command = ["docker", "stats", "--no-stream", "--format", "{{json .}}", container]
        told = json.loads(subprocess.check_output(command, text=True))
        number, unit = re.fullmatch(r"([\d.]+)(\w+) / .*", told["MemUsage"]).groups()  # type: ignore[union-attr]
        used[told["Name"]] = float(number) * _UNITS[unit]
    assert sum(used.values()) < 2 * GIB, used


def test_nothing_that_is_left_out_is_complained_of(smallest: Stack) -> None:
    for service in ("retriever", "ingest", "embedding"):
        for line in smallest.log(service):
            if not line.startswith("{"):
                continue  # how far a model is loaded
            told = json.loads(line)
            # It waits for its neighbours at start: those that are there.
            waits = told["level"] == "warning" and ("wait" in line or "tried again" in line)
            assert told["level"] == "info" or waits, line
            for absent in ("otel", "4318", "mcp-", "quality"):
                assert absent not in line, line
