"""A tool server, over MCP: its definitions and its tools, each call as one principal."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import mcp_types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry.propagate import inject

from bulkhead.auth import Principal, Role
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import MCP_CLIENT_DURATION
from bulkhead.telemetry.spans import span
from retriever.clients.tool_login import login
from retriever.tool_servers import ClientCredentials, ServerEntry, Signed

SELF = Principal("retriever", "retriever", frozenset(), Role.READER)
"""Who asks for definitions: no tenant's data is visible to it."""
_CHECK_SECONDS = 2.0
_PAGES = 20
# A server closes a connection that has been idle for 5 s; ours are closed before.
_LIMITS = httpx2.Limits(keepalive_expiry=2.0)
_PINNED = {"name", "title", "description", "input_schema", "output_schema", "annotations"}


class ToolServerError(Exception):
    """The server is down, slow, or does not speak MCP. The message names no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool gave: structured where it has a schema, and its text."""

    structured: Any
    text: str
    is_error: bool


class McpServer:
    """One tool server. Nothing is kept between calls but the connections."""

    def __init__(self, entry: ServerEntry, max_bytes: int) -> None:
        """`max_bytes` bounds each HTTP response. Raises `ValueError` where a secret is missing."""
        self.name = entry.name
        self.trusted = entry.trusted
        """Its descriptions are ours."""
        self._url = str(entry.url)
        self._login, self.secret = login(entry)
        self._has_readiness = isinstance(entry.auth, Signed)
        origins = {self._url}
        if isinstance(entry.auth, ClientCredentials):
            origins |= {entry.auth.issuer, entry.auth.token_url or entry.auth.issuer}
        uds = str(entry.socket) if entry.socket else None
        transport = httpx2.AsyncHTTPTransport(uds=uds, limits=_LIMITS)
        self._transport = _Bounded(transport, max_bytes, frozenset(map(_origin, origins)))

    async def definitions(self, principal: Principal, seconds: float) -> dict[str, dict[str, Any]]:
        """The server's tools by name, as they are pinned. Raises `ToolServerError`."""
        found: dict[str, dict[str, Any]] = {}
        async with self._client(principal, "tools/list", None, seconds) as client:
            cursor: str | None = None
            for _ in range(_PAGES):
                page = await client.list_tools(cursor=cursor)
                found |= {tool.name: definition(tool) for tool in page.tools}
                if (cursor := page.next_cursor) is None:
                    return found
            raise ToolServerError(f"the tool server {self.name} lists tools without end")

    async def call(
        self, principal: Principal, tool: str, arguments: dict[str, Any], seconds: float
    ) -> Answer:
        """Call `tool`. Raises `ToolServerError`; a cancelled call closes its connection."""
        about = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: tool,
            names.SERVER: self.name,
        }
        with span(f"{names.EXECUTE_TOOL} {tool}", about):
            async with self._client(principal, "tools/call", tool, seconds) as client:
                result = await client.call_tool(tool, arguments)
        text = "\n".join(map(_text, result.content))
        return Answer(result.structured_content, text, result.is_error)

    async def check(self) -> None:
        """Raises `ToolServerError` unless the server says that it can serve.

        A server that takes our tokens has `/readyz`; any other one is asked for its tools.
        """
        if not self._has_readiness:
            await self.definitions(SELF, _CHECK_SECONDS)
            return
        try:
            async with httpx2.AsyncClient(transport=self._transport, trust_env=False) as http:
                reply = await http.get(urljoin(self._url, "/readyz"))
        except httpx2.HTTPError as error:
            raise ToolServerError(
                f"the tool server {self.name} does not answer ({type(error).__name__})"
            ) from error
        if reply.status_code != 200:
            raise ToolServerError(f"the tool server {self.name} cannot serve now")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    @asynccontextmanager
    async def _client(
        self, principal: Principal, method: str, tool: str | None, seconds: float
    ) -> AsyncIterator[Client]:
        """A connection for one operation, by one task: the SDK's scopes do not change tasks."""
        headers: dict[str, str] = {}
        inject(headers)  # no instrumentation knows this HTTP client
        attributes = {"mcp.method.name": method, names.SERVER: self.name}
        if tool is not None:
            attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        started = time.perf_counter()
        try:
            async with (
                asyncio.timeout(seconds),
                httpx2.AsyncClient(
                    transport=self._transport,
                    headers=headers,
                    auth=self._login(principal),
                    timeout=seconds,
                    trust_env=False,
                ) as http,
                Client(streamable_http_client(self._url, http_client=http), cache=None) as client,
            ):
                yield client
        except TimeoutError as error:
            attributes["error.type"] = "timeout"
            raise ToolServerError(
                f"the tool server {self.name} gave no answer within {seconds:g} s"
            ) from error
        except ToolServerError:
            attributes["error.type"] = "protocol"
            raise
        except Exception as error:  # whatever a server can make the SDK raise is its failure
            attributes["error.type"] = type(_innermost(error)).__name__
            raise ToolServerError(
                f"the tool server {self.name} did not answer as it should"
                f" ({attributes['error.type']})"
            ) from error
        except BaseException as error:
            attributes["error.type"] = type(error).__name__
            raise
        finally:
            MCP_CLIENT_DURATION.record(time.perf_counter() - started, attributes)


def definition(tool: mcp_types.Tool) -> dict[str, Any]:
    """What of a tool is pinned: all that a model or a person reads of it."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True, include=_PINNED)


def _text(block: mcp_types.ContentBlock) -> str:
    """What can be read of one part of a result; of the rest, that it is there."""
    if isinstance(block, mcp_types.TextContent):
        return block.text
    if isinstance(block, mcp_types.EmbeddedResource) and isinstance(
        block.resource, mcp_types.TextResourceContents
    ):
        return block.resource.text
    return f"({block.type}: not shown)"


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Bounded(httpx2.AsyncBaseTransport):
    """Connections that outlive the client that uses them, and responses with an end.

    A server may name other addresses where one should log in; only its own and the issuer's are
    asked.
    """

    def __init__(
        self,
        transport: httpx2.AsyncHTTPTransport,
        max_bytes: int,
        origins: frozenset[tuple[str, str, int | None]],
    ) -> None:
        self._transport = transport
        self._max_bytes = max_bytes
        self._origins = origins

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(str(request.url)) not in self._origins:
            raise httpx2.ConnectError("the server names an address that is not in the list")
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream, self._max_bytes)
        return response

    async def aclose(self) -> None:
        """Called at the end of every client; the connections stay."""

    async def close(self) -> None:
        await self._transport.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, left: int) -> None:
        self._stream = stream
        self._left = left

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._left < 0:
                raise httpx2.ReadError("the response is too large")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
