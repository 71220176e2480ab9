"""What the relay knows of one connection: who spoke last, and whether an answer is owed."""

import asyncio
from collections.abc import Callable

HEAD_SECONDS = 15.0
"""How long the first request's head may take; the services behind answer 408 after 10."""
SILENT_SECONDS = 300.0
"""How long neither side may say a word: longer than a model or a heartbeat lets anyone wait."""
_END = b"\r\n\r\n"


class Line:
    """One connection. Where no whole head has come since the last answer, nobody is kept waiting
    by its end; a client that only drips bytes is never owed anything.
    """

    def __init__(self, cut: Callable[[], object]) -> None:
        """`cut` is called when the time for the head, or for silence, is over."""
        self._loop = asyncio.get_running_loop()
        self._cut = cut
        self._began = self._heard = self._loop.time()
        self._tail = b""
        self.owed = False
        self.answered = False
        """Whether anything was answered yet."""
        self._timer = self._loop.call_later(HEAD_SECONDS, self._look)

    def asked(self, chunk: bytes) -> None:
        """The client sent this."""
        self._heard = self._loop.time()
        if not self.owed:
            self._tail += chunk
            self.owed = _END in self._tail
            self._tail = self._tail[1 - len(_END) :]

    def told(self) -> None:
        """The far end sent something."""
        self._heard = self._loop.time()
        self.owed, self.answered, self._tail = False, True, b""

    def close(self) -> None:
        """Look at it no longer."""
        self._timer.cancel()

    def _look(self) -> None:
        """At the deadline that comes next; the one for the head holds until anyone was served."""
        begun = self.owed or self.answered
        until = self._heard + SILENT_SECONDS if begun else self._began + HEAD_SECONDS
        if until <= (now := self._loop.time()):
            self._cut()
        else:
            self._timer = self._loop.call_later(until - now, self._look)
