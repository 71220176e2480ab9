"""The load test's own limit: how late it is on one core, against a server that does nothing.

python -m bench.loadtest --data ../shared/data/squad [--rate 500] [--duration 10]
"""

import asyncio
import multiprocessing
import os
import socket
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loading.run import Options, measure

_REPLY = b'{"results":[{"source":"none"}],"timings":{"total":0.1}}'
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_REPLY),
    _REPLY,
)


class _Nothing(asyncio.Protocol):
    """Answers the end of each request's body; the load test sends each in one or two pieces."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) >= length:
                self._buffer = body[length:]
                self._transport.write(_WHOLE)


def serve(listener: socket.socket, core: int, up: Event) -> None:
    """Run the server on one core until the process is ended."""
    _pin(core)

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Nothing, sock=listener)
        up.set()
        await server.serve_forever()

    asyncio.run(forever())


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def main(
    data: Annotated[Path, typer.Option(help="Folder in the BEIR layout.")],
    rate: float = 500.0,
    duration: float = 10.0,
) -> None:
    """Measure and print."""
    console = Console()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    listener = socket.create_server(("127.0.0.1", 0))
    context = multiprocessing.get_context("fork")
    up = context.Event()
    server = context.Process(target=serve, args=(listener, cores[-1], up), daemon=True)
    server.start()
    up.wait(10)
    _pin(cores[0])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    options = Options(url=url, data=data, rate=rate, duration=duration, warmup=1.0)
    started = time.process_time()
    result, outcomes = asyncio.run(measure(options))
    spent = time.process_time() - started
    server.terminate()
    summary = result["summary"]
    lag, latency = summary["lag_ms"], summary["all"]["latency_ms"]
    console.print(
        f"{len(outcomes)} requests at {rate:g}/s: "
        f"lag p50 {lag['p50']:.2f} ms, p99 {lag['p99']:.2f} ms; "
        f"latency p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms; "
        f"errors {summary['all']['errors'] or 'none'}"
    )
    console.print(
        f"{spent / len(outcomes) * 1e3:.2f} ms of a core for a request, "
        f"{spent / (duration or 1):.0%} of it; load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    typer.run(main)
