"""With proxies in the environment the parts still reach each other, and ask the proxy nothing."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from otlp_receiver import receiving
from rich.console import Console
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM
from serving import serving
from stack_processes import environment, running, state

from embedded.parts import parts
from embedded.quality import quality
from embedded.readiness import await_ready

pytestmark = pytest.mark.timeout(300)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@dataclass
class Proxy:
    """A proxy that answers nobody, and keeps what it was asked."""

    url: str
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def refusing() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(5)
                    proxy.asked.append(client.recv(200))
                    client.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def test_no_part_asks_a_proxy_for_another(tmp_path: Path) -> None:
    llm = ScriptedLLM()
    llm.say("The retriever listens on port 8080.")
    with refusing() as proxy, receiving() as collector, serving(llm.app) as model:
        canaries = tmp_path / "canaries.json"
        canaries.write_text(json.dumps({"retrieval": [{"question": "Ports?", "source": "x"}]}))
        told = environment(
            RETRIEVER_TOOL_SERVERS_FILE="/dev/null",
            RETRIEVER_LLM_URL=f"{model}/v1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="100",
            QUALITY_CANARIES=str(canaries),
            QUALITY_CANARY_SECONDS="1",
            **dict.fromkeys(VARIABLES, proxy.url),
            **{name.upper(): proxy.url for name in VARIABLES},
        )
        for name in ("no_proxy", "NO_PROXY"):
            told.pop(name, None)
        kept = state(tmp_path / "state")
        wanted = parts(kept, told)
        prober = quality(kept, told)
        key = {"Authorization": f"Bearer {KEY}"}
        with (
            running(kept, [*wanted, prober]),
            Api(base_url=wanted[-1].url, headers=key, timeout=60) as api,
        ):
            assert api.ingest({"text": PORTS, "title": "Ports"})["counts"]["added"] == 1
            answer = api.ask("Which port does the retriever listen on?").json()
            assert answer["retrieval"]["degraded"] == []
            assert collector.trace(answer["trace_id"], {"retriever", "embedding"})
            await_ready([prober], Console(file=io.StringIO()))  # its canaries have come through
    assert proxy.asked == []
