"""The index on PostgreSQL and on Qdrant, embedded and over gRPC: nothing lost, left or leaked."""

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_server import reached, serving_qdrant
from relay import Relay
from sqlalchemy import URL

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from retriever.database import Database
from retriever.index import corpus
from retriever.index.collection import IndexMismatchError, Stamp
from retriever.index.connect import Connection, Server, connect
from retriever.index.documents import Documents
from retriever.index.filters import read
from retriever.index.index import Index
from retriever.index.model import (
    Addition,
    Change,
    ChunkSpan,
    Deletion,
    Mode,
    NewDocument,
    Outcome,
    document_id,
)
from retriever.index.points import point_id
from retriever.index.sparse import BM25
from retriever.index.vectors import Legs, Vectors

ADMIN = Principal("k1", "acme", frozenset(), Role.ADMIN)
BLUE = Principal("k2", "acme", frozenset({"blue"}), Role.READER)
RED = Principal("k3", "acme", frozenset({"red"}), Role.READER)
STRANGER = Principal("k4", "other", frozenset({"blue"}), Role.ADMIN)
STAMP = Stamp("model", "1", 8, "bm25")
BM = BM25("english", 1.2, 0.75, 10.0)


@asynccontextmanager
async def opened(
    folder: Path, url: URL, server: Server | None = None
) -> AsyncIterator[tuple[Index, Connection]]:
    client = connect(server, folder / "qdrant")
    try:
        async with Database.open(url) as database:
            index = Index(Documents(database), Vectors(client, "chunks"))
            await index.open(STAMP)
            yield index, client
    finally:
        await client.close()


@pytest.fixture(params=["embedded", "server"])
async def index(
    tmp_path: Path, state_url: URL, request: pytest.FixtureRequest
) -> AsyncIterator[Index]:
    with serving_qdrant() as standin:
        server = reached(standin) if request.param == "server" else None
        async with opened(tmp_path, state_url, server) as (index, _):
            yield index


def document(source: str, *chunks: str, groups: tuple[str, ...] = ()) -> NewDocument:
    text = "".join(chunks)
    spans, start = [], 0
    for chunk in chunks:
        spans.append(ChunkSpan(start, start + len(chunk), None, ""))
        start += len(chunk)
    new_id = document_id("acme", source, None, None, groups, {}, text)
    return NewDocument(new_id, source, source, "text/plain", groups, {}, text, (), spans)


def vector(text: str) -> list[float]:
    seed = np.random.default_rng(list(text.encode()))
    values: list[float] = seed.normal(size=8).tolist()
    return values


def addition(new: NewDocument, principal: Principal = ADMIN) -> Addition:
    texts = [new.text[chunk.start : chunk.end] for chunk in new.chunks]
    return Addition(principal, new, [vector(text) for text in texts], BM.documents(texts))


async def add(index: Index, new: NewDocument, principal: Principal = ADMIN) -> Outcome | None:
    (outcome,) = await index.add([addition(new, principal)])
    return outcome


def legs(query: str, mode: Mode = Mode.HYBRID) -> Legs:
    fusion = models.FusionQuery(fusion=models.Fusion.DBSF)
    return Legs(mode, vector(query), BM.query(query), 50, fusion)


async def points(client: Connection) -> int:
    return (await client.reads.count("chunks")).count


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_chunk_is_found_on_every_leg_with_its_scores(index: Index, mode: Mode) -> None:
    await add(index, document("a", "Qdrant keeps vectors. ", "Soup is served at noon."))
    best = (await index.search(ADMIN, legs("Soup is served at noon.", mode), 5))[0]
    assert best.text == "Soup is served at noon."
    assert (best.start, best.end) == (22, 45)
    assert (best.scores.dense is None) == (mode is Mode.SPARSE)
    assert (best.scores.sparse is None) == (mode is Mode.DENSE)
    if best.scores.dense is not None:
        assert best.scores.dense == pytest.approx(1.0, abs=1e-5)


async def test_the_same_document_twice_changes_nothing(index: Index) -> None:
    assert await add(index, document("a", "One.")) is Outcome.ADDED
    assert await add(index, document("a", "One.")) is Outcome.UNCHANGED


async def test_a_changed_document_takes_the_place_of_the_old_one(
    tmp_path: Path, state_url: URL
) -> None:
    async with opened(tmp_path, state_url) as (index, client):
        old, new = document("a", "Old words. ", "More of it."), document("a", "New words.")
        await add(index, old)
        assert await add(index, new) is Outcome.REPLACED
        found = await index.search(ADMIN, legs("words"), 10)
        assert [hit.text for hit in found] == ["New words."]
        assert await index.text(ADMIN, old.id) is None
        assert await points(client) == 1


async def test_a_quote_on_a_later_page_of_its_chunk_knows_its_page(index: Index) -> None:
    new = document("a", "First page. Second page. Third page.")
    span = replace(new.chunks[0], page=4, page_breaks=(12, 25))
    await add(index, replace(new, pages=(0, 12, 25), chunks=[span]))
    (hit,) = await index.search(ADMIN, legs("page"), 1)
    assert [hit.page_at(offset) for offset in (0, 11, 12, 24, 25, 30)] == [4, 4, 5, 5, 6, 6]


async def test_delete_leaves_no_point_and_no_text(tmp_path: Path, state_url: URL) -> None:
    async with opened(tmp_path, state_url) as (index, client):
        new = document("a", "One. ", "Two.")
        await add(index, new)
        assert await index.delete(ADMIN, new.id)
        assert not await index.delete(ADMIN, new.id)
        assert await index.text(ADMIN, new.id) is None
        assert await index.get(ADMIN, new.id) is None
        assert await points(client) == 0


async def test_what_a_dead_process_left_is_cleared_at_the_next_start(
    tmp_path: Path, state_url: URL
) -> None:
    torn = document("a", "Half written.")
    async with opened(tmp_path, state_url) as (index, client):
        await index._documents.begin([addition(torn)], "gone")  # then points, then no power
        await index._vectors.upsert([addition(torn)])
        assert await index.search(ADMIN, legs("Half written."), 5) == []
    async with opened(tmp_path, state_url) as (index, client):
        assert await points(client) == 0
        assert await add(index, torn) is Outcome.ADDED


async def test_chunks_that_are_still_being_written_take_no_places(index: Index) -> None:
    torn = document("a", *(f"The canary sings {n}. " for n in range(60)))
    await index._documents.begin([addition(torn)], "gone")
    await index._vectors.upsert([addition(torn)])
    await add(index, document("b", "A live canary."))
    found = await index.search(ADMIN, legs("canary sings", Mode.SPARSE), 5)
    assert [hit.source for hit in found] == ["b"]


async def test_a_search_during_changes_sees_the_old_or_the_new(index: Index) -> None:
    await add(index, document("a", "Canary version 0."))
    changes = [document("a", f"Canary version {n}.") for n in range(1, 60)]

    async def change() -> None:
        for new in changes:
            await add(index, new)

    changing = asyncio.create_task(change())
    versions: list[int] = []
    while not changing.done():
        (found,) = await index.search(ADMIN, legs("canary version"), 5)
        versions.append(int(found.text.removesuffix(".").rpartition(" ")[2]))
    await changing
    assert versions == sorted(versions)
    assert len(set(versions)) > 5


async def test_a_document_that_becomes_live_between_two_looks_is_not_missed(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = document("a", "Canary old."), document("a", "Canary new.")
    await add(index, old)
    written, searched = asyncio.Event(), asyncio.Event()

    async def confirm(_: object, changes: Mapping[str, Change]) -> Collection[str]:
        written.set()
        await searched.wait()
        return changes

    adding = asyncio.create_task(index.add([addition(new)], confirm))
    await written.wait()
    unfinished = index._documents.unfinished

    async def then_it_is_live(sources: Any = None) -> list[str]:
        hidden = await unfinished(sources)
        assert hidden == [new.id]
        monkeypatch.undo()
        searched.set()
        await adding
        return hidden

    monkeypatch.setattr(index._documents, "unfinished", then_it_is_live)
    (found,) = await index.search(ADMIN, legs("canary"), 5)
    assert found.text == "Canary new."


async def test_two_groups_may_each_have_a_document_of_the_same_name(index: Index) -> None:
    red, blue = (Principal(c, "acme", frozenset({c}), Role.WRITER) for c in ("red", "blue"))
    theirs = document("notes.md", "The same words.", groups=("red",))
    ours = document("notes.md", "The same words.", groups=("blue",))
    assert await add(index, theirs, red) is Outcome.ADDED
    assert await add(index, ours, blue) is Outcome.ADDED
    assert await index.get(red, theirs.id) and await index.get(blue, ours.id)
    newer = document("notes.md", "Newer words.", groups=("blue",))
    assert await add(index, newer, blue) is Outcome.REPLACED
    assert await index.get(red, theirs.id)


async def test_other_groups_show_at_once(index: Index) -> None:
    blue, moved = (document("a", "Canary.", groups=(group,)) for group in ("blue", "red"))
    await add(index, blue)
    assert await add(index, moved) is Outcome.REPLACED
    assert await index.search(BLUE, legs("canary"), 5) == []
    (hit,) = await index.search(RED, legs("canary"), 5)
    assert hit.document_id == moved.id


async def test_what_is_called_off_at_its_commit_leaves_nothing(
    tmp_path: Path, state_url: URL
) -> None:
    async def called_off(*_: object) -> list[str]:
        return []

    async with opened(tmp_path, state_url) as (index, client):
        await add(index, document("a", "Old words."))
        assert await index.add([addition(document("a", "New words."))], called_off) == [None]
        assert [hit.text for hit in await index.search(ADMIN, legs("words"), 5)] == ["Old words."]
        assert await points(client) == 1


async def test_points_that_could_not_be_removed_go_with_the_next_change(
    tmp_path: Path, state_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise Unavailable("qdrant", "down")

    async with opened(tmp_path, state_url) as (index, client):
        first, second = document("a", "One. ", "Two."), document("a", "Three.")
        await add(index, first)
        with monkeypatch.context() as broken:
            broken.setattr(Vectors, "delete", down)
            assert await add(index, second) is Outcome.REPLACED
            assert await index.delete(ADMIN, second.id) is Deletion.ACCEPTED
            assert await index.delete(ADMIN, second.id) is None
        assert await index.search(ADMIN, legs("one two three"), 5) == []
        assert await points(client) == 3
        await add(index, document("a", "Four."))
        assert await points(client) == 1


async def test_what_was_left_is_swept_and_what_is_being_written_is_left_alone(
    tmp_path: Path, state_url: URL
) -> None:
    held = QdrantClient(":memory:")
    with serving_qdrant(held) as standin:
        async with opened(tmp_path, state_url, reached(standin)) as (index, _):
            first, torn = document("a", "One. ", "Two."), document("b", "Three.")
            await add(index, first)
            standin.faults.writes = "No space left on device"
            assert await index.delete(ADMIN, first.id) is Deletion.ACCEPTED
            with pytest.raises(Unavailable, match="the index's disk is full"):
                await index.sweep()
            assert index._vectors.refusal == "the index's disk is full"
            standin.faults.writes = ""
            await index._documents.begin([addition(torn)], "gone")
            await index._vectors.upsert([addition(torn)])
            async with index._documents.locked([("acme", "b")]):  # as while it is added
                await index.sweep()
                assert held.count("chunks").count == 1
            assert index._vectors.refusal is None
            await index.sweep()
            assert held.count("chunks").count == 0


async def test_a_store_that_takes_writes_again_is_found_without_anything_to_write(
    tmp_path: Path, state_url: URL
) -> None:
    with serving_qdrant() as standin:
        async with opened(tmp_path, state_url, reached(standin)) as (index, _):
            standin.faults.writes = "Read-only file system"
            with pytest.raises(Unavailable):
                await add(index, document("a", "One."))
            with pytest.raises(Unavailable, match="is read-only"):
                await index.sweep()
            standin.faults.writes = ""
            await index.sweep()
            assert index._vectors.refusal is None


async def test_a_connection_killed_amid_a_write_leaves_nothing_and_the_next_try_is_whole(
    tmp_path: Path, state_url: URL
) -> None:
    held = QdrantClient(":memory:")
    with serving_qdrant(held) as standin:
        relay = Relay(standin.port)
        server = replace(reached(standin), urls=(f"http://127.0.0.1:{await relay.start()}",))
        async with opened(tmp_path, state_url, server) as (index, _):
            long = document("a", *(f"Chunk {n}. " for n in range(40)))
            writes = iter(range(9))
            loop = asyncio.get_running_loop()

            def cut_at_the_second() -> None:
                if next(writes) == 1:
                    loop.call_soon_threadsafe(relay.cut)

            standin.faults.before_write = cut_at_the_second
            with suppress(Unavailable):  # the write may have been answered before the cut
                await add(index, long)
            standin.faults.before_write = lambda: None
            while True:
                with suppress(Unavailable):
                    await add(index, long)
                    break
            assert held.count("chunks").count == 40
            assert len(await index.search(ADMIN, legs("Chunk", Mode.SPARSE), 50)) == 40
        await relay.stop()


async def test_a_write_of_embedded_qdrant_waits_for_the_disk_once(
    tmp_path: Path, state_url: URL
) -> None:
    async with opened(tmp_path, state_url) as (_, client):
        embedded: Any = client.writes  # there is no public way to its storage
        storage = embedded._client._client.collections["chunks"].storage.storage
        assert storage.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert storage.execute("PRAGMA synchronous").fetchone() == (1,)


@pytest.mark.parametrize("mode", list(Mode))
async def test_nobody_sees_what_is_not_theirs(index: Index, mode: Mode) -> None:
    blue = document("b", "The blue canary sings.", groups=("blue",))
    everyone = document("e", "The public canary sings.")
    await add(index, blue)
    await add(index, everyone)
    sees = {
        name: {hit.source for hit in await index.search(who, legs("canary sings", mode), 10)}
        for name, who in {"admin": ADMIN, "blue": BLUE, "red": RED, "other": STRANGER}.items()
    }
    assert sees == {"admin": {"b", "e"}, "blue": {"b", "e"}, "red": {"e"}, "other": set()}
    assert await index.text(RED, blue.id) is None
    assert await index.text(BLUE, blue.id) == blue.text
    assert await index.get(STRANGER, blue.id) is None
    assert not await index.delete(RED, blue.id)
    assert [one.id for one in (await index.page(RED, 10, None))[0]] == [everyone.id]


async def test_a_metadata_filter_cannot_reach_the_tenant(index: Index) -> None:
    await add(index, document("a", "Canary."))
    for filters in ({"tenant": "acme"}, {"tenant": {"exists": True}}, {"tenant": None}):
        assert await index.search(STRANGER, legs("canary"), 10, read(filters, {})) == []
        assert await index.page(STRANGER, 10, None, read(filters, {})) == ([], None)


async def test_pages_hold_every_document_once(index: Index) -> None:
    ids = []
    for n in range(7):
        new = document(f"s{n}", f"Text {n}.")
        await add(index, new)
        ids.append(new.id)
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = await index.page(ADMIN, 3, cursor)
        seen += [one.id for one in page]
        if cursor is None:
            break
    assert seen == ids


async def test_another_model_is_refused_never_mixed(tmp_path: Path, state_url: URL) -> None:
    async with opened(tmp_path, state_url):
        pass
    client = connect(None, tmp_path / "qdrant")
    try:
        for other in (
            Stamp("another", "1", 8, "bm25"),
            Stamp("model", "2", 8, "bm25"),
            Stamp("model", "1", 9, "bm25"),
            Stamp("model", "1", 8, "bm25 german"),
            Stamp("model", "1", 9, "bm25", layout=0),
        ):
            with pytest.raises(IndexMismatchError, match="written with other settings"):
                await Vectors(client, "chunks").ensure(other)
        told = r"by another release \(layout 2, now 0\); scripts/reindex.py .* RETRIEVER_COLLECTION"
        with pytest.raises(IndexMismatchError, match=told):
            await Vectors(client, "chunks").ensure(Stamp("model", "1", 8, "bm25", layout=0))
        await Vectors(client, "chunks").ensure(STAMP)
    finally:
        await client.close()


async def score(index: Index, who: Principal, word: str) -> float:
    (hit, *_) = await index.search(who, legs(word, Mode.SPARSE), 5)
    (fused, *_) = await index.search(who, legs(word, Mode.HYBRID), 5)
    assert hit.scores.sparse is not None and hit.scores.sparse == fused.scores.sparse
    return hit.scores.sparse


def weight(chunks: int, having: int) -> float:
    """The inverse document frequency, as Qdrant has it."""
    return math.log((chunks - having + 0.5) / (having + 0.5) + 1)


async def test_a_score_does_not_move_with_what_another_tenant_or_group_takes_in(
    index: Index,
) -> None:
    await add(index, document("mine", "Bulkhead."))
    for n in range(3):
        await add(index, document(f"other {n}", f"Nothing of it, number {n}."))
    everyone, blue, red = [await score(index, who, "bulkhead") for who in (ADMIN, BLUE, RED)]
    assert everyone == blue == red
    for n in range(4):
        await add(index, document(f"s{n}", f"Bulkhead {n}, theirs."), STRANGER)
    await add(index, document("b", "Bulkhead of blue.", groups=("blue",)))
    assert await score(index, RED, "bulkhead") == red
    alone = document("mine", "Bulkhead.")
    seen = {hit.document_id for hit in await index.search(RED, legs("bulkhead", Mode.SPARSE), 9)}
    assert seen == {alone.id}
    # Blue and the admin see a second chunk with the word, of five.
    for who in (BLUE, ADMIN):
        assert await score(index, who, "bulkhead") / red == pytest.approx(
            weight(5, 2) / weight(4, 1), rel=1e-4
        )


async def test_a_sample_too_is_of_what_the_caller_may_see(
    tmp_path: Path, state_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "MOST", 4)
    async with opened(tmp_path, state_url) as (index, _):
        texts = [f"Bulkhead {n}. " if n % 3 == 0 else f"Something {n}. " for n in range(16)]
        mine = document("mine", *texts)
        await add(index, mine)
        sampled = [
            n for n in range(16) if "2//acme" in corpus.marks("acme", (), point_id(mine.id, n))
        ]
        having = sum(n % 3 == 0 for n in sampled)
        expected = weight(len(sampled), having)
        plain = await score(index, ADMIN, "bulkhead")
        index._sizes.clear()
        monkeypatch.setattr(corpus, "MOST", 2**15)
        exact = await score(index, ADMIN, "bulkhead")
        assert plain / exact == pytest.approx(expected / weight(16, 6), rel=1e-4)
        monkeypatch.setattr(corpus, "MOST", 4)
        for n in range(9):
            await add(index, document(f"s{n}", "Bulkhead. " * (n + 1)), STRANGER)
        assert await score(index, ADMIN, "bulkhead") == plain
