"""What is another's costs what is not there costs: the stores run the same statements for both.

So their times cannot differ by what our code does; `test_leaks` measures the calls themselves.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.auth import Principal, Role
from bulkhead.errors import NotFound
from retriever.database import Database
from retriever.feedback import Feedback
from retriever.index.documents import Documents
from retriever.index.model import Addition, Change, ChunkSpan, NewDocument
from retriever.ingest.items import NewItem
from retriever.ingest.jobs import Jobs
from retriever.keys import Keys, NewKey
from retriever.limits import Limits

OWNER = Principal("owner", "acme", frozenset({"red"}), Role.WRITER)
OPERATOR = Principal("admin", "default", frozenset(), Role.ADMIN)
OTHERS = {
    "another tenant's admin": Principal("stranger", "other", frozenset(), Role.ADMIN),
    "another tenant's reader": Principal("reader", "other", frozenset({"red"}), Role.READER),
    "the tenant, another group": Principal("blue", "acme", frozenset({"blue"}), Role.WRITER),
}
MISSING = "0" * 32
LIMITS = Limits(requests_per_minute=9, tokens_per_minute=9, documents_per_minute=9)


@dataclass
class Stores:
    """The stores with one of everything in them, and the statements that they ran."""

    documents: Documents
    jobs: Jobs
    feedback: Feedback
    keys: Keys
    there: dict[str, str]
    ran: list[str]


@pytest.fixture
async def stores(state_url: URL) -> AsyncIterator[Stores]:
    ran: list[str] = []
    async with Database.open(state_url) as database:
        documents, jobs, feedback = Documents(database), Jobs(database), Feedback(database)
        keys = Keys(database, "bh_operator", LIMITS)
        new = NewDocument(
            "d" * 32, "a.md", "A", "text/plain", ("red",), {}, "x" * 10_000, (),
            [ChunkSpan(0, 10_000, None, "")],
        )  # fmt: skip
        await documents.begin([Addition(OWNER, new, [], [])], "writer")
        async with documents.locked([("acme", "a.md")]) as held:
            await documents.publish(held, [Addition(OWNER, new, [], [])], "writer", _all, "chunks")
        item = NewItem("a.md", None, None, ("red",), {}, "upload", "digest")
        job, _ = await jobs.create(OWNER, [item], "idempotent")
        await feedback.note_answer(OWNER, "a" * 32)
        key, _ = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
        there = {"document": new.id, "job": job.id, "answer": "a" * 32, "key": key.id}

        def note(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
            ran.append(f"{statement} {parameters}")

        for engine in (database._reads, database._writes, database._locks):
            event.listen(engine.sync_engine, "before_cursor_execute", note)
        yield Stores(documents, jobs, feedback, keys, there, ran)


async def _all(_: AsyncConnection, changes: Mapping[str, Change]) -> Collection[str]:
    return changes


async def hidden(stores: Stores, who: Principal, one: str) -> bool:
    async with stores.documents.locked([("acme", "a.md")]) as held:
        return await stores.documents.hide(held, who, one)


_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
"""Of a new key, which is another each time."""
Call = Callable[[Stores, Principal, str], Awaitable[object]]
CALLS: dict[str, tuple[str, Call]] = {
    "see a document": ("document", lambda s, who, one: s.documents.get(who, one)),
    "read its text": ("document", lambda s, who, one: s.documents.text(who, one)),
    "delete it": ("document", hidden),
    "find it": ("document", lambda s, who, one: s.documents.live(who, [one])),
    "see a job": ("job", lambda s, who, one: s.jobs.get(who, one)),
    "see its errors": ("job", lambda s, who, one: s.jobs.results(who, one, None, 10)),
    "cancel it": ("job", lambda s, who, one: s.jobs.cancel(who, one)),
    "vote on an answer": ("answer", lambda s, who, one: s.feedback.vote(who, one, "up", "")),
    "revoke a key": ("key", lambda s, who, one: s.keys.revoke(who, one)),
    "rotate a key": ("key", lambda s, who, one: s.keys.rotate(who, one)),
}


async def did(stores: Stores, call: Call, who: Principal, one: str) -> list[str]:
    """The statements of a call that finds nothing, with the id taken out."""
    stores.ran.clear()
    with suppress(NotFound):
        assert not await call(stores, who, one)
    return [_DIGEST.sub("DIGEST", statement.replace(one, "ID")) for statement in stores.ran]


@pytest.mark.parametrize("who", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize(("kind", "call"), CALLS.values(), ids=CALLS.keys())
async def test_anothers_is_looked_for_like_what_is_not_there(
    stores: Stores, kind: str, call: Call, who: Principal
) -> None:
    if kind == "key" and who.role is not Role.ADMIN:
        pytest.skip("only admins come as far as the store of keys")
    missing = await did(stores, call, who, MISSING)
    assert missing
    assert await did(stores, call, who, stores.there[kind]) == missing


async def test_the_owner_makes_the_stores_do_more(stores: Stores) -> None:
    """Otherwise the test above could not fail."""
    cancel = CALLS["cancel it"][1]
    assert await did(stores, cancel, OTHERS["another tenant's admin"], MISSING)
    stores.ran.clear()
    assert await stores.jobs.cancel(OWNER, stores.there["job"]) == ["upload"]
    assert any("UPDATE job_items" in statement for statement in stores.ran)
    assert await stores.documents.text(OWNER, stores.there["document"])
