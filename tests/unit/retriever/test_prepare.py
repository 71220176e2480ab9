"""Uploads to chunks: over a real parser on its socket, one that is away, and one that dies."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from rig import parsing, tokenizer_json

from bulkhead.errors import Unavailable
from parser.parse import VERSION
from retriever.clients import parser as client
from retriever.clients.parser import ParserClient, Unreadable
from retriever.ingest.chunking import ChunkerPool
from retriever.ingest.items import EXTRACTED
from retriever.ingest.prepare import Prepared, Preparer

WORDS = "# Cranes\n\nThe crane lifts forty tonnes.\n"


@pytest.fixture(scope="module")
def chunkers() -> Iterator[ChunkerPool]:
    pool = ChunkerPool(tokenizer_json(), max_tokens=50)
    yield pool
    pool.close()


@asynccontextmanager
async def preparing(folder: Path, chunkers: ChunkerPool) -> AsyncIterator[Preparer]:
    client = ParserClient(folder, 60.0)
    yield Preparer(client, chunkers)
    await client.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def take(preparer: Preparer, path: Path, name: str, kind: str | None = None) -> Prepared:
    return await preparer.prepare(path.name, content(path), name, kind, digest(path))


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_text(WORDS)
    return path


async def test_a_file_is_parsed_and_its_text_is_cut_into_chunks(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    with parsing(tmp_path / "p"):
        async with preparing(tmp_path / "p", chunkers) as preparer:
            prepared = await take(preparer, upload, "dock/Cräne № 1.md")
    assert (prepared.parsed.text, prepared.parsed.title) == (WORDS, "Cranes")
    (chunk,) = prepared.chunks
    assert WORDS[chunk.start : chunk.end] == WORDS.strip()


async def test_a_text_needs_no_parser(tmp_path: Path, upload: Path, chunkers: ChunkerPool) -> None:
    async with preparing(tmp_path / "nobody", chunkers) as preparer:
        prepared = await take(preparer, upload, "wiki/ports", EXTRACTED)
        assert (prepared.parsed.text, prepared.parsed.title) == (WORDS, "ports")
        write(upload, b" \n")
        with pytest.raises(Unreadable, match="no text"):
            await take(preparer, upload, "wiki/ports", EXTRACTED)


async def test_a_document_that_cannot_be_read_says_why_and_a_damaged_upload_too(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    with parsing(tmp_path / "p", max_document_bytes=100):
        async with preparing(tmp_path / "p", chunkers) as preparer:
            with pytest.raises(Unreadable, match="damaged where it was kept"):
                await preparer.prepare("u", content(upload), "a.md", None, "0" * 64)
            write(upload, b"%PDF-1.7\n")
            with pytest.raises(Unreadable, match="not a readable PDF"):
                await take(preparer, upload, "a.pdf")
            write(upload, b"words " * 100)
            with pytest.raises(Unreadable, match="the limit is"):
                await take(preparer, upload, "a.txt")


async def test_a_parser_that_is_away_is_told_and_one_that_is_back_is_asked_again(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(folder / "dead.sock"))
    async with preparing(folder, chunkers) as preparer:
        for call in (preparer.check(), preparer.version(None), take(preparer, upload, "a.md")):
            with pytest.raises(Unavailable, match="the parser does not answer"):
                await call
        with parsing(folder):
            assert (await take(preparer, upload, "a.md")).parsed.title == "Cranes"
            await preparer.check()


async def test_a_document_says_which_parser_read_it_and_a_text_needs_none(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    with parsing(tmp_path / "p", ocr_languages=""):
        async with preparing(tmp_path / "p", chunkers) as preparer:
            parser = await preparer.version("text/markdown")
            assert (await take(preparer, upload, "a.md")).parsed.parser == parser == VERSION
            assert await preparer.version(EXTRACTED) is None
            assert (await take(preparer, upload, "a.md", EXTRACTED)).parsed.parser is None


async def test_a_document_that_ends_three_parsers_is_given_up(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    met = 0

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(die, tmp_path / "dying.sock")
    async with server, preparing(tmp_path, chunkers) as preparer:
        for _ in range(2):
            with pytest.raises(Unavailable, match="broke off"):
                await take(preparer, upload, "a.md")
        with pytest.raises(Unreadable, match="ended each time"):
            await take(preparer, upload, "a.md")
    assert met == 3


async def test_an_answer_without_end_is_given_up(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MOST_BYTES", 1000)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(flood, tmp_path / "flood.sock")
    async with server, preparing(tmp_path, chunkers) as preparer:
        with pytest.raises(Unreadable, match="larger than any text"):
            await take(preparer, upload, "a.md")


async def test_replicas_share_the_documents(
    tmp_path: Path, upload: Path, chunkers: ChunkerPool
) -> None:
    asked: list[str] = []
    both = asyncio.Event()
    reply = json.dumps(
        {
            "text": WORDS, "title": "t", "media_type": "text/plain", "pages": [], "markdown": False,
            "headings": [], "seconds": 0.0, "metadata": {}, "warnings": [], "parser": "1",
        }
    )  # fmt: skip

    def named(name: str) -> object:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.append(name)
            if len(asked) == 2:
                both.set()
            await both.wait()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(reply)}\r\n\r\n"
            writer.write((head + reply).encode())
            await writer.drain()
            writer.close()

        return answer

    servers = [
        await asyncio.start_unix_server(named(name), tmp_path / f"{name}.sock")  # type: ignore[arg-type]
        for name in ("one", "two")
    ]
    async with preparing(tmp_path, chunkers) as preparer:
        await asyncio.gather(*(take(preparer, upload, "a.md") for _ in range(2)))
    for server in servers:
        server.close()
    assert sorted(asked) == ["one", "two"]


def test_a_tokenizer_or_limits_that_cannot_work_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        ChunkerPool("{}", max_tokens=50)
    with pytest.raises(ValueError, match="max_tokens"):
        ChunkerPool(tokenizer_json(), max_tokens=0)


async def test_a_nul_stays_in_a_text_and_not_in_a_title(
    tmp_path: Path, chunkers: ChunkerPool
) -> None:
    path = tmp_path / "upload"
    write(path, b"Crane\0 lifts.")
    async with preparing(tmp_path / "nobody", chunkers) as preparer:
        prepared = await take(preparer, path, "a\0b", EXTRACTED)
    assert prepared.parsed.text == "Crane\0 lifts."
    assert "\0" not in prepared.parsed.title
