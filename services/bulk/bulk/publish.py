"""Documents that are ready become live, a group in one transaction, with what became of each."""

import logging
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bulk.model import Failed, Known, One, Ready
from bulk.stores import Patience, Stores, Told
from bulkhead.errors import ApiError
from retriever.index.documents import Moved, live_among
from retriever.index.model import Addition, Change
from retriever.ingest.items import BROKEN, FAILED, End
from retriever.ingest.runs import Ended, Noted, Place
from retriever.ingest.shapes import end

logger = logging.getLogger(__name__)

TWICE = "another document of this run has the same source: give each a source of its own"
CHANGED = "it was changed by somebody else while the run went on: start the run again"


class Publishing:
    """Hands groups to the index, and notes outcomes in the transaction that publishes them."""

    def __init__(self, told: Told, stores: Stores, patience: Patience) -> None:
        self._told = told
        self._stores = stores
        self._patience = patience

    async def published(self, group: list[One]) -> dict[str, Any]:
        """What became of the group: how many of each outcome, chunks, and which failed and why.

        `over` says why the run cannot go on, if it cannot: nothing more is published then.
        """
        counts: Counter[str] = Counter()
        failures: list[Failed] = [one for one in group if isinstance(one, Failed)]
        over = ""
        try:
            left = [one for one in group if isinstance(one, Ready | Known)]
            while left:
                now, left = _of_different_sources(left)
                failures += await self._together(now, counts)
            await self._note(failures)
        except Ended:
            over = "the run's job has ended: it was cancelled, or the run was started again"
        except Moved as error:
            over = error.message
        counts["failed"] = len(failures)
        told = [{"place": f.place, "source": f.source, "reason": f.reason} for f in failures]
        return {"counts": counts, "failures": told, "over": over}

    async def _together(self, group: list[Ready | Known], counts: Counter[str]) -> list[Failed]:
        """Publish them in one transaction; where that fails, each alone. Those that failed."""
        try:
            return await self._patience.until(partial(self._add, group, counts))
        except (Ended, Moved):
            raise
        except Exception as error:
            if len(group) > 1:
                return [failed for one in group for failed in await self._together([one], counts)]
            return [_failed(group[0], error)]

    async def _add(self, group: list[Ready | Known], counts: Counter[str]) -> list[Failed]:
        additions = [self._addition(one) for one in group]
        reasons: dict[str, str] = {}

        async def confirm(connection: AsyncConnection, changes: Mapping[str, Change]) -> list[str]:
            reasons.clear()
            return await self._confirmed(connection, group, changes, reasons)

        outcomes = await self._stores.index.add(additions, confirm)
        failures = []
        for one, outcome in zip(group, outcomes, strict=True):
            if outcome is None:
                source, reason = one.document.source, reasons[one.place]
                failures.append(Failed(one.place, reason, source))
            else:
                counts[outcome.value] += 1
                counts["chunks"] += len(one.document.chunks)
        return failures

    async def _confirmed(
        self,
        connection: AsyncConnection,
        group: list[Ready | Known],
        changes: Mapping[str, Change],
        reasons: dict[str, str],
    ) -> list[str]:
        """Note the outcomes; the ids of those that may be published. `reasons` of the others."""
        runs, told = self._stores.runs, self._told
        sources = [one.document.source for one in group]
        before = await runs.noted(connection, told.job_id, sources)
        live = await _live(connection, [o.document.id for o in group if isinstance(o, Known)])
        ends: dict[Place, End] = {}
        confirmed: list[str] = []
        for one in group:
            document = one.document
            noted = before.get(document.source, [])
            if any(_is_another(was, one) for was in noted):
                reasons[one.place] = TWICE
            elif isinstance(one, Known) and document.id not in live:
                reasons[one.place] = CHANGED
            else:
                confirmed.append(document.id)
                # What was noted already was done by an actor that died before it could say so.
                if all((was.place, was.document_id) != (one.place, document.id) for was in noted):
                    place = Place(document.source, one.place)
                    ends[place] = end(document, changes[document.id])
        await runs.note(connection, told.who, told.job_id, ends)
        return confirmed

    async def _note(self, failures: list[Failed]) -> None:
        ends = {
            Place(f.source or f.place, f.place): End(FAILED, message=f.reason) for f in failures
        }
        if ends:
            told = self._told
            note = partial(self._stores.runs.note_alone, told.who, told.job_id, ends)
            await self._patience.until(note)

    def _addition(self, one: Ready | Known) -> Addition:
        if isinstance(one, Known):
            return Addition(self._told.who, one.document, [], [])
        assert one.dense is not None
        return Addition(self._told.who, one.document, one.dense, one.sparse)


def _of_different_sources(
    group: list[Ready | Known],
) -> tuple[list[Ready | Known], list[Ready | Known]]:
    """The first of each source, and the others."""
    first: dict[str, Ready | Known] = {}
    for one in group:
        first.setdefault(one.document.source, one)
    now = list(first.values())
    return now, [one for one in group if first[one.document.source] is not one]


def _is_another(was: Noted, one: Ready | Known) -> bool:
    """Whether a document of this run with another place and content has the same source."""
    return was.outcome != FAILED and was.place != one.place and was.document_id != one.document.id


async def _live(connection: AsyncConnection, ids: list[str]) -> set[str]:
    if not ids:
        return set()
    return {row.id for row in await connection.execute(live_among(ids))}


def _failed(one: Ready | Known, error: Exception) -> Failed:
    if isinstance(error, ApiError):
        return Failed(one.place, error.message, one.document.source)
    logger.error("a document could not be taken in", exc_info=error, extra={"place": one.place})
    return Failed(one.place, BROKEN, one.document.source)
