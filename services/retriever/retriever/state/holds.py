"""Holds: while a copy of rows and points is made, no points go.

Rows are copied first, then points. A document that was live in the rows has its points still, for
whoever removes points looks for a hold before, and what it removes was hidden before it looked:
what was looked at before the hold began is hidden in the rows, too. A hold has an end by the
database's clock, so that the copy's death keeps nothing for ever.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from bulkhead.errors import Unavailable
from retriever.database import Database
from retriever.state.schema import clock, holds

LENGTH = timedelta(seconds=60)
"""How long a hold lasts that is not renewed."""
_RENEW_SECONDS = 10.0


class HoldLost(Exception):
    """A hold had ended before what it was for was done."""


class Held(Unavailable):
    """Points stay, for somebody holds them."""

    def __init__(self) -> None:
        super().__init__("qdrant", "a backup is being taken, and chunks are removed after it")


@asynccontextmanager
async def hold(database: Database) -> AsyncIterator[None]:
    """Keep the points of all documents until the block ends.

    Raises `HoldLost` at its end where it was not held throughout, and `Unavailable`.
    """
    name = uuid.uuid4().hex
    await database.write(delete(holds).where(holds.c.ends_at < clock()))
    await database.write(insert(holds).values(id=name, ends_at=clock() + LENGTH))
    renewing = asyncio.create_task(_renew(database, name))
    try:
        yield
    except BaseException:
        with suppress(Unavailable):
            await _end(database, name)
        raise
    else:
        if not await _end(database, name):
            raise HoldLost("the hold on chunks ended too early: chunks may be missing")
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def held(database: Database) -> bool:
    """Whether points have to stay now."""
    row = await database.row(select(exists().where(holds.c.ends_at > clock())))
    return bool(row and row[0])


async def _renew(database: Database, name: str) -> None:
    """Put its end off, while it has not come: once it has, points may be gone."""
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        with suppress(Unavailable):
            await database.write(
                update(holds)
                .where(holds.c.id == name, holds.c.ends_at > clock())
                .values(ends_at=clock() + LENGTH)
            )


async def _end(database: Database, name: str) -> bool:
    """Whether it was there still."""
    ended = delete(holds).where(holds.c.id == name).returning(holds.c.ends_at > clock())
    rows = await database.write(ended)
    return bool(rows and rows[0][0])
