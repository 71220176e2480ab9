"""News of changes from other processes: LISTEN, on a connection of its own.

Whoever waits for news looks by itself now and then: behind a pooler in transaction mode none come.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import psycopg
from psycopg import sql

from bulkhead.errors import Unavailable
from retriever.database import Database

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_QUIET_SECONDS = 30.0


async def listen(database: Database, channels: Mapping[str, Callable[[], None]]) -> None:
    """Call what belongs to a channel whenever something is told there, until cancelled.

    And once whenever listening begins: what was told before then was missed.
    """
    while True:
        with suppress(Unavailable, psycopg.Error, OSError):
            async with await database.listener() as connection:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                for heard in channels.values():
                    heard()
                while True:
                    async for notice in connection.notifies(timeout=_QUIET_SECONDS):
                        if heard_of := channels.get(notice.channel):
                            heard_of()
                    await connection.execute("SELECT 1")  # whether the server is still there
        logger.info("nothing is heard of other processes")
        await asyncio.sleep(_RETRY_SECONDS)
