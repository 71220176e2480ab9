"""A stdio server's process as a transport of the SDK's client, within bounds.

The SDK's own `stdio_client` holds a line of any length, and tells nobody that the process ended.
"""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

logger = logging.getLogger(__name__)

_END_SECONDS = 2.0
"""Between the end of its input, SIGTERM and SIGKILL, each."""
_SHOWN = 200

FromServer = MemoryObjectSendStream[SessionMessage | Exception]
ToServer = MemoryObjectReceiveStream[SessionMessage]
Streams = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


@dataclass(frozen=True)
class Bounds:
    """What one run of the server may say."""

    line_bytes: int
    unasked_bytes: int
    junk_lines: int


class Broken(Exception):
    """The server broke a bound; the message says which."""


@dataclass
class Stdio:
    """One run of the server. `ended` is set, with the reason in `fault`, when it is over."""

    command: Sequence[str]
    environment: dict[str, str]
    folder: Path
    bounds: Bounds
    fault: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _unasked: int = 0

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """The running server's messages. Raises `OSError` where it cannot be started."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=PIPE,
            stdout=PIPE,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
            limit=self.bounds.line_bytes,
        )
        to_session, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, from_session = anyio.create_memory_object_stream[SessionMessage](0)
        reading = asyncio.create_task(self._read(process, to_session))
        writing = asyncio.create_task(self._write(process, from_session))
        try:
            yield read, write
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            for stream in (read, write, to_session, from_session):
                stream.close()
            await _end(process)

    async def _read(self, process: Process, to_session: FromServer) -> None:
        """Hand on what the server says until it ends, or breaks a bound."""
        assert process.stdout is not None
        try:
            junk = 0
            while line := await process.stdout.readline():
                self._unasked += len(line)
                if self._unasked > self.bounds.unasked_bytes:
                    raise Broken(f"said more than {self.bounds.unasked_bytes} bytes unasked")
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    junk += bool(line.strip())
                    logger.warning("no message", extra={"line": ascii(line[:_SHOWN])})
                    if junk > self.bounds.junk_lines:
                        raise Broken("said too much that is no message") from None
                    continue
                await to_session.send(SessionMessage(message))
            self.fault = self.fault or "ended"
        except Broken as error:
            self.fault = str(error)
        except ValueError:  # asyncio's, for a line over the limit
            self.fault = f"said more than {self.bounds.line_bytes} bytes in one line"
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            self.fault = self.fault or "broke off"
        finally:
            to_session.close()  # calls under way end with it
            self.ended.set()

    async def _write(self, process: Process, from_session: ToServer) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError, anyio.ClosedResourceError):
            async for message in from_session:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(f"{text}\n".encode())
                self._unasked = 0
                await process.stdin.drain()  # one that does not read is found by its calls' time


async def _end(process: Process) -> None:
    """End the server and all that it started: by the end of its input, SIGTERM, then SIGKILL."""
    if process.stdin is not None:
        process.stdin.close()
    for signum in (None, signal.SIGTERM, signal.SIGKILL):
        if signum is not None:
            _signal(process, signum)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
                break
    _signal(process, signal.SIGKILL)  # what it left behind in its group


def _signal(process: Process, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)
