"""A tool server under test, and raw HTTP to it: what no well-behaved client would send."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from serving import serving

from bulkhead.auth import Principal, Role
from bulkhead.mcp.settings import ToolServerSettings
from bulkhead.protocol import bounded_protocol
from bulkhead.tool_tokens import mint

READER = Principal("key-1", "default", frozenset(), Role.READER)


@dataclass(frozen=True)
class ToolServer:
    """A running tool server, its key, and one call that it answers."""

    url: str
    key: bytes
    audience: str
    tool: str
    arguments: dict[str, Any]
    integer: str
    """An argument of `tool` that is an integer."""

    def token(self, principal: Principal = READER, ttl: float = 60, audience: str = "") -> str:
        """A token for this server, or for another audience."""
        return mint(self.key, audience or self.audience, principal, ttl)


@contextmanager
def tool_serving(app: FastAPI, settings: ToolServerSettings) -> Iterator[str]:
    """Serve a tool app on its port, bounded as it is in production."""
    with serving(
        app,
        settings.port,
        http=bounded_protocol(settings),
        ws="none",
        limit_concurrency=settings.max_connections,
    ) as url:
        yield url


@dataclass(frozen=True)
class Post:
    """A request as bytes on the wire; by default a good call of the server's tool."""

    body: bytes
    headers: tuple[tuple[str, str], ...]
    method: str = "POST"
    target: str = "/mcp"

    def wire(self) -> bytes:
        """The bytes; Content-Length is added where no header says how the body ends."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        names = {name.lower() for name, _ in self.headers}
        if not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    def having(self, **headers: str | None) -> "Post":
        """With these headers (`_` stands for `-`) instead of those of the name; None: without."""
        changed = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in changed)
        new = tuple((name, value) for name, value in changed.items() if value is not None)
        return replace(self, headers=kept + new)

    def also(self, name: str, value: str) -> "Post":
        """With one header more, whether or not there is one of the name."""
        return replace(self, headers=(*self.headers, (name, value)))

    def sending(self, body: bytes | dict[str, Any] | list[Any]) -> "Post":
        """With another body."""
        return replace(self, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def message(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    found: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, **more}
    return found if params is None else {**found, "params": params}


def call(server: ToolServer, **more: Any) -> dict[str, Any]:
    """The JSON-RPC request of a good call, with more arguments."""
    arguments = {**server.arguments, **more}
    return message("tools/call", {"name": server.tool, "arguments": arguments})


def post(server: ToolServer) -> Post:
    """A good call of the server's tool, as a client of the 2025 protocol sends it."""
    headers = (
        ("Host", urlsplit(server.url).netloc),
        ("Authorization", f"Bearer {server.token()}"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("Connection", "close"),
    )
    return Post(json.dumps(call(server)).encode(), headers)


def modern(server: ToolServer) -> Post:
    """A good call as a client of the 2026 protocol sends it."""
    request = call(server)
    request["params"]["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return (
        post(server)
        .sending(request)
        .also("MCP-Protocol-Version", "2026-07-28")
        .also("Mcp-Method", "tools/call")
        .also("Mcp-Name", server.tool)
    )


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 where the server closed without a word."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def outcome(self) -> str:
        """The reply in a word: the error's type, `rpc CODE`, `tool_error`, `result` or ``."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return ""
        error = body.get("error")
        if error:
            return str(error.get("type") or f"rpc {error['code']}")
        return "tool_error" if body["result"].get("isError") else "result"


def exchange(server: ToolServer, wire: bytes, *, pause: float = 0, timeout: float = 60) -> Reply:
    """Send the bytes, a byte every `pause` seconds where it is not 0, and read to the end."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port or 80), timeout=timeout) as line:
        try:
            for part in [wire] if not pause else [wire[i : i + 1] for i in range(len(wire))]:
                line.sendall(part)
                time.sleep(pause)
        except OSError:
            pass  # the server had enough; its reply may still be there
        return read(line)


def read(line: socket.socket) -> Reply:
    """The reply on a connection that the server then closes."""
    received = b""
    try:
        while part := line.recv(65536):
            received += part
    except ConnectionError:
        pass
    if not received:
        return Reply(0)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _dechunk(body)
    return Reply(int(status.split()[1]), headers, body)


def _dechunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            break
        whole, body = whole + rest[:length], rest[length + 2 :]
    return whole
