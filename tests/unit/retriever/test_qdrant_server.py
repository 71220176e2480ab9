"""The retriever and a Qdrant server over gRPC: what it says when the server cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import self_signed
from qdrant_client import QdrantClient
from qdrant_server import ADMIN, KEY, LEGS, STAMP, addition, reached, search, serving_qdrant
from qdrant_standin import DISK_FULL
from relay import Relay

from bulkhead.errors import ApiError, InvalidValue, Unavailable
from retriever.index.access import visible_points
from retriever.index.collection import IndexMismatchError
from retriever.index.connect import Server, connect
from retriever.index.corpus import corpus
from retriever.index.filters import read
from retriever.index.vectors import Vectors


@asynccontextmanager
async def vectors(server: Server) -> AsyncIterator[Vectors]:
    connection = connect(server, Path("unused"))
    try:
        yield Vectors(connection, "chunks")
    finally:
        await connection.close()


async def calls(chunks: Vectors) -> list[ApiError | None]:
    """What each call raises: of those that read, then of those that write."""
    raised: list[ApiError | None] = []
    for call in (
        chunks.exists(),
        search(chunks),
        chunks.upsert([addition("A canary.")]),
        chunks.delete(["d"]),
    ):
        try:
            await call
            raised.append(None)
        except ApiError as error:
            raised.append(error)
    return raised


async def test_what_a_dead_start_left_unmade_is_made_by_the_next() -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks._create(STAMP)  # and then the power goes
            assert standin.info("chunks").payload_schema == {}
            await chunks.ensure(STAMP)
            await chunks.ensure(STAMP)
        indexes = standin.info("chunks").payload_schema
    assert {"tenant", "groups", "document_id", "source"} <= indexes.keys()
    assert [field for field, one in indexes.items() if one.params.is_tenant] == ["tenant"]  # type: ignore[union-attr]


async def test_two_that_start_at_once_make_one_index_and_complain_of_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks, vectors(reached(standin)) as other:
            await other.ensure(STAMP)

            async def not_yet() -> bool:
                monkeypatch.undo()  # it looked a moment before the other made it
                return False

            monkeypatch.setattr(chunks, "exists", not_yet)
            await chunks.ensure(STAMP)
            assert [one for one in caplog.records if one.name.startswith("retriever")] == []
            with pytest.raises(IndexMismatchError):
                await chunks.ensure(replace(STAMP, model="another"))


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("", False),
        ("dev", False),
        ("0.11.1", False),
        ("1.18.3", False),
        ("1.19.0", True),
        ("1.19.1-dev", True),
        ("1.20.0", True),
        ("2.0.0", True),
    ],
)
async def test_a_server_whose_scores_would_tell_of_others_is_refused_by_name(
    version: str, usable: bool
) -> None:
    with serving_qdrant(version=version) as standin:
        async with vectors(reached(standin)) as chunks:
            if usable:
                await chunks.ensure(STAMP)
            else:
                with pytest.raises(IndexMismatchError, match=f"Qdrant server is .*{version}"):
                    await chunks.ensure(STAMP)


async def test_what_is_stored_over_grpc_comes_back_as_it_was() -> None:
    metadata = {"team": "blue", "year": 2**53 + 1, "share": 0.1, "open": True, "none": ""}
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            new = addition("A canary sings. ", "Ünïcödé \N{BIRD} canary.", **metadata)
            spans = [replace(span, page=7, page_breaks=(3, 5)) for span in new.document.chunks]
            await chunks.upsert([replace(new, document=replace(new.document, chunks=spans))])
            hits = await chunks.search(
                LEGS, visible_points(ADMIN, read({"year": 2**53 + 1}, {})), corpus(ADMIN, 1), 10
            )
    assert sorted((hit.text, hit.page, hit.page_breaks) for hit in hits) == [
        ("A canary sings. ", 7, (3, 5)),
        ("Ünïcödé \N{BIRD} canary.", 7, (3, 5)),
    ]
    assert all(hit.scores.dense == pytest.approx(1.0) and hit.scores.sparse for hit in hits)


async def test_messages_above_four_megabytes_pass_both_ways() -> None:
    long = ["canary " * 60_000] * 12  # 5 MB in one write, and in one answer
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            await chunks.upsert([addition(*long)])
            assert await search(chunks, 12) == long


async def test_a_server_that_is_not_there_is_unavailable_in_every_call() -> None:
    with serving_qdrant() as standin:
        server = reached(standin)
    async with vectors(server) as chunks:
        for error in await calls(chunks):
            assert isinstance(error, Unavailable) and error.part == "qdrant"
            assert error.message == "Qdrant does not answer"  # and no address of the network


async def test_a_wrong_key_is_told_in_words() -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin, key="wrong")) as chunks:
            for error in await calls(chunks):
                assert isinstance(error, Unavailable)
                assert error.message == "Qdrant refuses the retriever's key"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (DISK_FULL, "the index's disk is full"),
        ("IO error: No space left on device (os error 28)", "the index's disk is full"),
        ("Read-only file system (os error 30)", "the index's disk is read-only"),
        (
            "failed to flush /qdrant/storage/collections/chunks/0/wal: Input/output error",
            "Qdrant fails: failed to flush …: Input/output error",
        ),
    ],
)
async def test_a_disk_at_fault_stops_writes_in_words_and_no_read(reason: str, words: str) -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            standin.faults.writes = reason
            exists, search, upsert, delete = await calls(chunks)
            assert exists is None and search is None
            for error in (upsert, delete):
                assert isinstance(error, Unavailable) and error.part == "qdrant"
                assert error.message == words


async def test_recovery_mode_is_told_with_its_reason() -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            await chunks.check()
            standin.faults.everything = "Failed to Get Info,  Out of memory at the last start"
            exists, search, upsert, delete = await calls(chunks)
            assert exists is None
            with pytest.raises(Unavailable) as check:
                await chunks.check()
            for error in (check.value, search, upsert, delete):
                assert isinstance(error, Unavailable)
                assert error.message == (
                    "Qdrant fails: Failed to Get Info,  Out of memory at the last start"
                )


async def test_what_qdrant_calls_a_mistake_is_no_fault_of_the_store() -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            standin.faults.status = grpc.StatusCode.INVALID_ARGUMENT
            standin.faults.writes = "Vector dimension error"
            with pytest.raises(InvalidValue, match="Qdrant refuses it: Vector dimension error"):
                await chunks.upsert([addition("A canary.")])


async def test_a_server_that_hangs_is_given_up_after_the_time_of_a_read_or_of_a_write() -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
        async with vectors(reached(standin, read_timeout=1, write_timeout=600)) as chunks:
            standin.faults.hangs = True
            for read in (chunks.exists, lambda: search(chunks)):
                with pytest.raises(Unavailable, match="does not answer in time"):
                    await read()
            write = asyncio.create_task(chunks.upsert([addition("A canary.")]))
            done, _ = await asyncio.wait([write], timeout=1.5)
            assert not done
            write.cancel()


async def test_a_server_that_is_back_is_found_again() -> None:
    held = QdrantClient(":memory:")
    with serving_qdrant(held) as standin:
        server = reached(standin)
        async with vectors(server) as chunks:
            await chunks.ensure(STAMP)
            await chunks.upsert([addition("A canary.")])
            standin.stop()
            with pytest.raises(Unavailable):
                await search(chunks)
            with serving_qdrant(held, address=f"127.0.0.1:{standin.port}"):
                assert await eventually(chunks) == ["A canary."]


@pytest.mark.parametrize("break_it", [Relay.cut, Relay.silence])
async def test_a_connection_that_is_lost_with_or_without_a_word_is_made_anew(
    break_it: Any,
) -> None:
    with serving_qdrant() as standin:
        async with vectors(reached(standin)) as chunks:
            await chunks.ensure(STAMP)
            await chunks.upsert([addition("A canary.")])
        relay = Relay(standin.port)
        port = await relay.start()
        server = replace(reached(standin, read_timeout=1), urls=(f"http://127.0.0.1:{port}",))
        async with vectors(server) as chunks:
            assert await eventually(chunks) == ["A canary."]
            break_it(relay)
            assert await eventually(chunks) == ["A canary."]
        await relay.stop()


async def eventually(chunks: Vectors) -> list[str]:
    """What a search finds as soon as one succeeds."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await search(chunks)
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_tls_is_a_matter_of_the_address_and_of_whom_to_trust() -> None:
    key, certificate = self_signed()
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with serving_qdrant(credentials=credentials) as standin:
        url = f"https://127.0.0.1:{standin.port}"
        async with vectors(Server((url,), KEY, 60, 60, certificate)) as chunks:
            await chunks.ensure(STAMP)
            assert await chunks.exists()
        other = self_signed()[1]
        for distrusted in (Server((url,), KEY, 60, 60), Server((url,), KEY, 60, 60, other)):
            async with vectors(distrusted) as chunks:
                with pytest.raises(Unavailable, match="does not answer"):
                    await chunks.exists()
