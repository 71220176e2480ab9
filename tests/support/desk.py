"""A tool server for tests: notes, rows, one tool that writes, and tools that misbehave."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from pydantic import BaseModel
from serving import free_port
from tool_http import tool_serving

from bulkhead.auth import Principal
from bulkhead.health import Readiness
from bulkhead.mcp.app import create_tool_app
from bulkhead.mcp.settings import ToolServerSettings
from bulkhead.mcp.tools import AnyTool, Arguments, Tool, ToolError
from bulkhead.tool_tokens import new_signing_key
from pin_tools import pin
from retriever.agent.policy import Definition
from retriever.agent.servers import SEARCH_DEFINITION
from retriever.clients.mcp import definition

_SECONDS = {"slow": 1.0, "stuck": 600.0}
"""What the policy allows a tool, where it is not a minute."""
OTHERS_SECRET = "the-other-tenants-salary-is-4711"


class NoteArguments(Arguments):
    name: str


class RowsArguments(Arguments):
    service: str = ""


class SendArguments(Arguments):
    to: str
    text: str


class BytesArguments(Arguments):
    bytes: int


class Nothing(Arguments):
    pass


class Note(BaseModel):
    text: str


class Names(BaseModel):
    names: list[str]


class Rows(BaseModel):
    columns: list[str]
    rows: list[list[Any]]
    row_count: int


@dataclass
class Desk:
    """What the tools read, and what was asked of them."""

    notes: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[list[Any]]] = field(
        default_factory=lambda: {
            "default": [["retriever", 8080, "The retriever answers questions."]],
            "other": [["payroll", 1, OTHERS_SECRET]],
        }
    )
    error: str = "the desk is closed"
    description: str = "Read a note by its name."
    calls: list[tuple[str, Principal, dict[str, Any]]] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tools(self) -> list[AnyTool]:
        """The tools; all but `send_note` only read."""

        def tool(
            name: str, arguments: type[Arguments], result: type[BaseModel], run: Any
        ) -> AnyTool:
            async def noted(principal: Principal, given: Any) -> BaseModel:
                self.calls.append((name, principal, given.model_dump()))
                answer: BaseModel = await run(principal, given)
                return answer

            description = self.description if name == "read_note" else f"The tool {name}."
            return Tool(
                name=name,
                title=name,
                description=description,
                arguments=arguments,
                result=result,
                run=noted,
            )

        return [
            tool("read_note", NoteArguments, Note, self._read),
            tool("list_notes", Nothing, Names, self._list),
            tool("query", RowsArguments, Rows, self._query),
            tool("send_note", SendArguments, Note, self._send),
            tool("fail", Nothing, Note, self._fail),
            tool("slow", Nothing, Note, self._slow),
            tool("stuck", Nothing, Note, self._slow),
            tool("big", BytesArguments, Note, self._big),
            tool("secret_admin", Nothing, Note, self._fail),
        ]

    async def _read(self, principal: Principal, given: NoteArguments) -> Note:
        if given.name not in self.notes:
            raise ToolError("there is no such note")
        return Note(text=self.notes[given.name])

    async def _list(self, principal: Principal, given: Nothing) -> Names:
        return Names(names=list(self.notes))

    async def _query(self, principal: Principal, given: RowsArguments) -> Rows:
        rows = [row for row in self.rows.get(principal.tenant, []) if given.service in ("", row[0])]
        return Rows(columns=["service", "port", "note"], rows=rows, row_count=len(rows))

    async def _send(self, principal: Principal, given: SendArguments) -> Note:
        self.sent.append((given.to, given.text))
        return Note(text="sent")

    async def _fail(self, principal: Principal, given: Nothing) -> Note:
        raise ToolError(self.error)

    async def _slow(self, principal: Principal, given: Nothing) -> Note:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("unreachable")

    async def _big(self, principal: Principal, given: BytesArguments) -> Note:
        return Note(text="x" * given.bytes)

    def app(self, settings: ToolServerSettings) -> FastAPI:
        """The server; its tokens are for `mcp-desk`."""

        async def ready() -> Readiness:
            return Readiness(status="ready", parts={})

        return create_tool_app(
            name="mcp-desk",
            title="Desk",
            version="1",
            instructions="A desk.",
            settings=settings,
            tools=self.tools(),
            ready=ready,
        )

    def definitions(self) -> dict[str, Definition]:
        """The definitions of the tools that the test policy allows, by the policy's names."""
        offered = {f"desk__{one.name}": definition(one.definition()) for one in self.tools()}
        del offered["desk__secret_admin"]
        return offered | {"retriever__search_documents": SEARCH_DEFINITION}


def write_policy(folder: Path, definitions: dict[str, Definition], **request: float) -> Path:
    """A policy that allows these tools; `send_note` writes. `request` changes the budget."""
    budget = {"steps": 4, "calls": 8, "bytes": 60_000, "seconds": 600, "tokens": 20_000}
    tools = []
    for name in definitions:
        server, _, tool = name.partition("__")
        tools.append(
            {
                "server": server,
                "tool": tool,
                "risk": "write" if tool == "send_note" else "read",
                "sha256": "unpinned",
                "calls": 4,
                "bytes": 30_000,
                "seconds": _SECONDS.get(tool, 60.0),
            }
        )
    policy = {
        "request": budget | request,
        "argument_bytes": 4096,
        "approval_seconds": 60,
        "tools": tools,
    }
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(policy, sort_keys=False))
    pin(path, definitions)
    return path


def write_list(folder: Path, *servers: dict[str, Any]) -> Path:
    """A list of tool servers."""
    path = folder / "tool-servers.yaml"
    path.write_text(yaml.safe_dump({"servers": list(servers)}))
    return path


@dataclass(frozen=True)
class Office:
    """A desk that is served, and what the retriever must be told of it."""

    desk: Desk
    signing_key: Path
    url: str

    def listed(self) -> Path:
        """A list of this one server, for `RetrieverSettings.tool_servers_file`."""
        auth = {"type": "signed", "key_file": self.signing_key.name}
        desk = {"name": "desk", "url": f"{self.url}/mcp", "auth": auth, "trusted": True}
        return write_list(self.signing_key.parent, desk)


@contextmanager
def desk_serving(desk: Desk, folder: Path, port: int | None = None) -> Iterator[Office]:
    """Serve `desk`, with a signing key in `folder`."""
    key = folder / "desk-signing-key"
    if not key.exists():
        key.write_text(new_signing_key())
    settings = ToolServerSettings(port=port or free_port(), signing_key_file=key)
    with tool_serving(desk.app(settings), settings) as url:
        yield Office(desk, key, url)
