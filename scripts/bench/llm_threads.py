"""Tokens a second of the model server with this many cores kept busy by something else.

    python -m bench.llm_threads --model .models/llm/MODEL.gguf \
        ours patient:GOMP_SPINCOUNT=300000 both-write:LLM_THREADS=3 asleep:OMP_WAIT_POLICY=passive

Each way is a server with these variables; 300,000 looks are OpenMP's own default, and with three
threads two write. All are asked in turn, round by round, so that they meet
the same machine; compare them with each other and not with another run.
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx2
import typer

_SOURCE = "The harbour has nine piers and a crane. "


def main(
    ways: Annotated[list[str], typer.Argument(help="NAME, or NAME:VARIABLE=VALUE,…")],
    model: Annotated[Path, typer.Option(help="A GGUF.")],
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    tokens: Annotated[int, typer.Option(help="Written each time.")] = 24,
    prompt: Annotated[int, typer.Option(help="Sentences of nine tokens read each time.")] = 45,
) -> None:
    """Measure and print."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(_server(model, told))
            for name, _, told in (way.partition(":") for way in ways)
        }
        for http in servers.values():
            _ask(http, 1, 1)
        for _ in range(rounds):
            for busy in (0, 1, 2):
                with _busy(busy):
                    for name, http in servers.items():
                        found.setdefault((name, busy), []).append(_ask(http, tokens, prompt))
    print(f"{'':20} reads, with 0 / 1 / 2 busy    writes, with 0 / 1 / 2 busy")
    for name in servers:
        read, written = (
            " / ".join(
                f"{median(pair[i] for pair in found[name, busy]):6.1f}" for busy in (0, 1, 2)
            )
            for i in (0, 1)
        )
        print(f"{name:20} {read}    {written}")


@contextmanager
def _server(model: Path, told: str) -> Iterator[httpx2.Client]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    variables = dict(pair.split("=", 1) for pair in told.split(",") if pair)
    ours = {"LLM_PORT": str(port), "LLM_MODEL_PATH": str(model), "LLM_PARALLEL": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "llm_server"],
        env={**os.environ, **ours, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # written once it listens
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
                yield http
        finally:
            process.terminate()


@contextmanager
def _busy(cores: int) -> Iterator[None]:
    """So many processes that never wait."""
    processes = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(cores)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def _spin() -> None:
    while True:
        pass


def _ask(http: httpx2.Client, tokens: int, sentences: int) -> tuple[float, float]:
    """Tokens read and tokens written a second, as the server counts them."""
    body = {
        "messages": [{"role": "user", "content": f"{time.time()} {_SOURCE * sentences}"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    reply = http.post("/v1/chat/completions", content=json.dumps(body)).raise_for_status()
    timings = reply.json()["timings"]
    return timings["prompt_per_second"], timings["predicted_per_second"]


if __name__ == "__main__":
    typer.run(main)
