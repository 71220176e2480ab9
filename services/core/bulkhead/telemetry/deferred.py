"""Measuring after the answer: who waits for it need not wait for its metrics as well."""

import asyncio
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


def soon(record: Callable[[*Ts], None], *arguments: *Ts) -> None:
    """Call `record` at the event loop's next turn, in this context: exemplars need its trace.

    What this turn still writes, as the end of a stream, goes out before.
    """
    asyncio.get_running_loop().call_soon(record, *arguments)
