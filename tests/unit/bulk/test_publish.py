"""A group of a run is published and noted in one transaction, once, whoever does it twice."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import state
from qdrant_client import QdrantClient
from qdrant_server import BM, KEY, STAMP, serving_qdrant
from sqlalchemy import URL, text

from bulk.corpus import Plan
from bulk.embed import Embedding
from bulk.mirror import EMPTY, UNREAD, remove_gone
from bulk.model import Failed, Found, Known, One, Ready
from bulk.prepare import MOST_CHUNKS, Preparing
from bulk.publish import CHANGED, TWICE, Publishing
from bulk.rows import Columns, Taking
from bulk.run import Tally
from bulk.settings import BulkSettings
from bulk.stores import Patience, Stores, Told, open_stores
from bulk.terminal import Terminal, summary
from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from embedding.settings import EmbeddingSettings
from retriever.clients.embedding import Refused
from retriever.index.model import ChunkSpan, NewDocument
from retriever.ingest.chunk import Chunk
from retriever.ingest.items import EXTRACTED, NewItem
from retriever.ingest.jobs import Jobs, Only
from retriever.ingest.prepare import Prepared
from retriever.ingest.progress import NO_DRIVER, JobState
from retriever.ingest.runs import Ended, principal
from retriever.parsed import Parsed
from retriever.settings import RetrieverSettings

ADMIN = Principal("k1", "acme", frozenset(), Role.ADMIN)
WHO = principal("acme", ("blue",))
CORPUS = "file:///corpus"


@asynccontextmanager
async def begun(url: URL, folder: Path, port: int) -> AsyncIterator[tuple[Told, Stores]]:
    """A run that has begun, with its stores."""
    (folder / "key").write_text(KEY)
    settings = RetrieverSettings.model_validate(
        {
            "database_url": state.told(url),
            "qdrant_url": f"http://127.0.0.1:{port}",
            "qdrant_api_key_file": folder / "key",
        }
    )
    taking = Taking(("blue",), Columns(), 1000)
    told = Told(settings, BulkSettings(), EmbeddingSettings(), CORPUS, "", taking, WHO)
    async with open_stores(settings) as stores:
        await stores.index.open(STAMP)
        yield replace(told, job_id=await stores.runs.begin(WHO, CORPUS, 10)), stores


def publishing(told: Told, stores: Stores) -> Publishing:
    return Publishing(told, stores, Patience(stores.runs, told.job_id))


def ready(id_: str, source: str, place: str) -> Ready:
    words = f"{id_} is a ship."
    span = ChunkSpan(0, len(words), None, "")
    document = NewDocument(id_, source, source, "text/plain", ("blue",), {}, words, (), [span], id_)
    return Ready(place, document, [words], BM.documents([words]), [[1.0, 0.0, 0.0]])


def known(one: Ready) -> Known:
    return Known(one.place, replace(one.document, chunks=[], text=""))


async def live(stores: Stores) -> dict[str, str]:
    found, _ = await stores.index.page(ADMIN, 100, None)
    return {one.id: one.source for one in found}


async def test_a_group_that_is_published_twice_is_noted_once(
    state_url: URL, tmp_path: Path
) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            group: list[One] = [ready("a", "s1", "p1"), ready("b", "s2", "p2"), Failed("p3", "bad")]
            for expected in ("added", "unchanged"):
                came_to = await publishing(told, stores).published(group)
                assert came_to["counts"][expected] == 2
                assert came_to["failures"] == [{"place": "p3", "source": None, "reason": "bad"}]
            job = await Jobs(stores.database).get(ADMIN, told.job_id)
            assert job is not None
            assert (job.counts["added"], job.counts["failed"], job.counts["unchanged"]) == (2, 1, 0)
            assert (job.counts["total"], job.counts["pending"], job.state) == (10, 7, "running")
            assert job.eta_seconds is not None
            found = await Jobs(stores.database).results(ADMIN, told.job_id, Only.FAILED, 10)
            assert found is not None
            assert [(one.source, one.message) for one in found[0]] == [("p3", "bad")]


async def test_of_two_documents_with_one_source_the_second_fails(
    state_url: URL, tmp_path: Path
) -> None:
    held = QdrantClient(":memory:", force_disable_check_same_thread=True)
    with serving_qdrant(held) as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            same = replace(ready("a", "s", "p2"), place="p2")
            group: list[One] = [ready("a", "s", "p1"), same, ready("b", "s", "p3")]
            came_to = await publishing(told, stores).published(group)
            assert came_to["counts"] == {"added": 1, "unchanged": 1, "chunks": 2, "failed": 1}
            assert came_to["failures"] == [{"place": "p3", "source": "s", "reason": TWICE}]
            assert await live(stores) == {"a": "s"}
            assert held.count("chunks").count == 1, "what was called off leaves nothing"


async def test_what_was_live_and_went_meanwhile_is_not_published_without_its_chunks(
    state_url: URL, tmp_path: Path
) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            one = ready("a", "s", "p1")
            await publishing(told, stores).published([one])
            told = replace(told, job_id=await stores.runs.begin(WHO, CORPUS, None))
            assert (await publishing(told, stores).published([known(one)]))["counts"] == {
                "unchanged": 1, "chunks": 0, "failed": 0,
            }  # fmt: skip
            await stores.index.delete(ADMIN, "a")
            told = replace(told, job_id=await stores.runs.begin(WHO, CORPUS, None))
            came_to = await publishing(told, stores).published([known(one)])
            assert [one["reason"] for one in came_to["failures"]] == [CHANGED]
            assert await live(stores) == {}


async def test_one_document_that_cannot_be_indexed_costs_no_other(
    state_url: URL, tmp_path: Path
) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            bad = ready("b", "s2", "p2")
            bad = replace(bad, document=replace(bad.document, title="a\0b"))
            group: list[One] = [ready("a", "s1", "p1"), bad, ready("c", "s3", "p3")]
            came_to = await publishing(told, stores).published(group)
            assert await live(stores) == {"a": "s1", "c": "s3"}
            assert [one["place"] for one in came_to["failures"]] == ["p2"]
            assert came_to["counts"]["added"] == 2


async def test_a_run_of_the_same_corpus_ends_the_one_before(state_url: URL, tmp_path: Path) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            await stores.runs.begin(WHO, "file:///other", None)
            await stores.runs.beat(told.job_id)
            await stores.runs.begin(WHO, CORPUS, None)
            came_to = await publishing(told, stores).published([ready("a", "s", "p")])
            assert came_to["over"]
            assert await live(stores) == {}
            with pytest.raises(Ended):
                await stores.runs.beat(told.job_id)
            assert await stores.runs.finish(told.job_id) == JobState.CANCELLED


async def test_a_job_tells_what_its_run_waits_for_and_that_it_died(
    state_url: URL, tmp_path: Path
) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            tries = iter([Unavailable("qdrant", "it is full"), None])
            seen: list[str | None] = []

            async def waiting() -> str | None:
                job = await Jobs(stores.database).get(ADMIN, told.job_id)
                assert job is not None
                return job.waiting

            async def step() -> None:
                seen.append(await waiting())
                if error := next(tries):
                    raise error

            await Patience(stores.runs, told.job_id).until(step)
            assert [*seen, await waiting()] == [None, "it is full", None]
            async with stores.database.transaction() as connection:
                await connection.execute(text("UPDATE runs SET seen_at = now() - interval '1 h'"))
            assert await waiting() == NO_DRIVER
            await stores.runs.finish(told.job_id)
            assert await waiting() is None


async def test_a_mirror_removes_what_earlier_runs_of_this_corpus_took_in_and_no_more(
    state_url: URL, tmp_path: Path
) -> None:
    plan = Plan([], [], [], None)
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            stays, went, failed = (
                ready("a", "s1", "1"),
                ready("b", "s2", "2"),
                ready("c", "s3", "3"),
            )
            changed = ready("d", "s4", "4")
            await publishing(told, stores).published([stays, went, failed, changed])
            other = replace(told, job_id=await stores.runs.begin(WHO, "file:///other", None))
            await publishing(other, stores).published([ready("x", "other", "1")])
            told = replace(told, job_id=await stores.runs.begin(WHO, CORPUS, None))
            now: list[One] = [known(stays), Failed("3", "bad", "s3"), ready("e", "s4", "4")]
            came_to = await publishing(told, stores).published(now)
            tally = Tally(told.job_id, None)
            await remove_gone(told, stores, CORPUS, plan, tally)
            assert (tally.spared, tally.removed) == (EMPTY, 0)
            tally.counts.update(came_to["counts"])
            tally.counts["unread"] = 1
            await remove_gone(told, stores, CORPUS, plan, tally)
            assert (tally.spared, tally.removed) == (UNREAD, 0)
            tally.counts["unread"] = 0
            await remove_gone(told, stores, CORPUS, plan, tally)
            assert tally.removed == 1
            assert await live(stores) == {"a": "s1", "c": "s3", "e": "s4", "x": "other"}


class Embedder:
    """Refuses a word."""

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        if any("bad" in one for one in texts):
            raise Refused("embedding", "not this text")
        return [[float(len(one))] for one in texts]


async def test_a_text_that_is_refused_costs_no_other(state_url: URL, tmp_path: Path) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            one, bad = ready("a", "s1", "1"), replace(ready("b", "s2", "2"), texts=["bad"])
            embedder: Any = Embedder()
            work = Embedding(embedder, Patience(stores.runs, told.job_id))
            unread = Failed("3", "no")
            made = await work.embedded([one, bad, unread])
            assert made[0] == replace(one, dense=[[float(len(one.texts[0]))]])
            assert made[1:] == [Failed("2", "not this text", "s2"), unread]
            assert await work.embedded([]) == []


class Preparer:
    """Cuts a text into its words."""

    async def version(self, media_type: str | None) -> None:
        return None

    async def prepare(self, upload: str, data: bytes, name: str, kind: str, digest: str) -> Any:
        if data == b"broken":
            raise RuntimeError("broken")
        words = data.decode()
        chunks = [Chunk(n, n + 1) for n in range(len(words))]
        return Prepared(Parsed(words, name, "text/plain"), chunks, 0.0)


def found(data: bytes, place: str) -> Found:
    return Found(NewItem(f"s{place}", None, EXTRACTED, ("blue",), {}, place, str(data)), data)


async def test_groups_are_of_a_bounded_number_of_chunks_and_hold_all(
    state_url: URL, tmp_path: Path
) -> None:
    with serving_qdrant() as node:
        async with begun(state_url, tmp_path, node.port) as (told, stores):
            preparer: Any = Preparer()
            patience = Patience(stores.runs, told.job_id)
            work = Preparing(told, stores, preparer, BM, patience)
            sizes = [10, MOST_CHUNKS, 2 * MOST_CHUNKS, 1]
            group: list[One] = [found(b"x" * size, str(n)) for n, size in enumerate(sizes)]
            group += [found(b"broken", "4"), Failed("5", "no")]
            groups = await work.prepared(group)
            places = [[one.place for one in some if not isinstance(one, Found)] for some in groups]
            assert places == [["0"], ["1"], ["2"], ["3", "4", "5"]]
            assert isinstance(groups[3][1], Failed)
            assert await work.prepared([]) == []

            first = groups[0][0]
            assert isinstance(first, Ready)
            dense = [[1.0, 0.0, 0.0]] * 10
            await publishing(told, stores).published([replace(first, dense=dense)])
            ((again,),) = await work.prepared(group[:1])
            assert isinstance(again, Known) and again.document.id == first.document.id


def test_the_terminal_tells_how_far_a_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    tally = Tally("j", 1000)
    tally.counts.update({"added": 200, "unchanged": 50, "failed": 3})
    for stream in (Screen(), io.StringIO()):
        monkeypatch.setattr("bulk.terminal._LINE_SECONDS", 0.0)
        Terminal(stream).report(tally)
        assert "253 of about 1,000 documents" in stream.getvalue()
        assert "3 failed" in stream.getvalue() and " left" in stream.getvalue()
    assert summary(tally, 100.0).startswith("253 documents: 200 added, 0 replaced, 50 unchanged")


async def test_what_cannot_be_run_is_said_on_a_line(tmp_path: Path) -> None:
    async def run(environment: dict[str, str], *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bulk", *words,
            env={"PATH": "/usr/bin:/bin", "BULK_FAILED_FILE": "failed", **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 2
        assert output.startswith(b"bulk: ") and output.count(b"\n") == 1
        return output.decode()

    nowhere = {"RETRIEVER_QDRANT_URL": "http://127.0.0.1:1"}
    told = await asyncio.gather(
        run({}, "."),
        run(nowhere, "nowhere"),
        run({}, ".", "--groups", "a b"),
        run({"BULK_EMBEDDERS": "0"}, "."),
    )
    assert "RETRIEVER_QDRANT_URL" in told[0]
    assert "no such folder" in told[1]
    assert "groups.1" in told[2]
    assert "BULK_EMBEDDERS" in told[3]
