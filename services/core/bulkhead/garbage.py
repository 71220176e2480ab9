"""When garbage is collected: a full collection stops the process, so it is made while nobody waits.

What is loaded when a service starts is never walked again, which took 180 ms. What has come since
takes some 3 ms for 15,000 objects, and an index in memory more (docs/performance.md), so the longer
a collection took the longer it is until the next.
"""

import gc
import socket
import time

import uvicorn

_MIDDLE = 4
"""Young collections before a middle one: fewer than Python's ten, so each is shorter."""
_FULL = 10
"""Middle collections before a full one, as Python has it, where no request is under way."""
_FULL_AMID_REQUESTS = 1000
"""The same where there always is one: some thousand questions."""
_SHARE = 0.001
"""Of the time, at most, that full collections take where no request is under way."""


class Server(uvicorn.Server):
    """Collects garbage between requests, and only when there is no between, amid them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._not_before = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve; what is there by then stays."""
        await super().startup(sockets)
        collect_seldom()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: collect what is due, if nobody waits."""
        due = gc.get_count()[2] > _FULL and time.monotonic() > self._not_before
        if due and not self.server_state.tasks:
            started = time.monotonic()
            gc.collect()
            self._not_before = started + (time.monotonic() - started) / _SHARE
        return await super().on_tick(counter)


def collect_seldom() -> None:
    """Keep what is there from all collections, make middle ones short and full ones rare."""
    gc.collect()
    gc.freeze()
    youngest, *_ = gc.get_threshold()
    gc.set_threshold(youngest, _MIDDLE, _FULL_AMID_REQUESTS)
