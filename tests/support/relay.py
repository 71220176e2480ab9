"""A TCP relay whose connections a test can break, or let fall silent as a lost network does."""

import asyncio
from contextlib import suppress


class Relay:
    """Relays one port of loopback to another."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._silenced: set[asyncio.StreamWriter] = set()
        self._relayed: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen, and say on which port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """End every connection and listen no more."""
        self._server.close()
        self.cut()
        await asyncio.gather(*self._relayed)

    def cut(self) -> None:
        """Break the connections that are there."""
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Pass nothing on in the connections that are there, and end none of them."""
        self._silenced |= self._writers

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relayed.add(task)
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward[1]}
        await asyncio.gather(self._pass(reader, onward[1]), self._pass(onward[0], writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if writer not in self._silenced:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._silenced:
            writer.transport.abort()
