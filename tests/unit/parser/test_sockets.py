"""The folder of sockets, and the parser behind one."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from rig import parsing
from serving import free_port

from bulkhead.errors import Unavailable
from parser import sockets
from parser.ocr import set_up
from parser.parse import version
from retriever.clients.parser import ParserClient, Unreadable
from retriever.parsed import Parsed


def client(path: Path) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://parser")


def test_a_document_goes_in_as_bytes_and_comes_out_as_text(tmp_path: Path) -> None:
    with parsing(tmp_path / "p"), client(tmp_path / "p" / "parser.sock") as http:
        reply = http.post("/v1/parse", params={"name": "a/Ö.md"}, content="# Ö\n\nwörds".encode())
        assert reply.status_code == 200, reply.text
        told, now = reply.json(), version(set_up(None, "deu+eng", 1, 1))
        assert told.pop("seconds") > 0
        assert told == {
            "parser": now,
            "text": "# Ö\n\nwörds",
            "title": "Ö",
            "media_type": "text/markdown",
            "pages": [],
            "markdown": True,
            "headings": [[0, 1, "Ö"]],
            "metadata": {},
            "warnings": [],
        }
        assert http.get("/v1/parser").json() == {"parser": now}
        for content, name, status, kind in (
            (b"%PDF-1.7\n", "a.pdf", 422, "invalid"),
            (b"", "a.txt", 422, "empty"),
            (b"\x7fELF", "a.txt", 415, "unsupported"),
        ):
            refused = http.post("/v1/parse", params={"name": name}, content=content)
            assert (refused.status_code, refused.json()["error"]["type"]) == (status, kind)


def test_a_started_parser_owns_its_socket_and_sweeps_up_what_a_dead_one_left(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as other:
        dead.bind(str(folder / "dead.sock"))
        other.bind(str(folder / "other.sock"))
        other.listen()
        environment = os.environ | {"PARSER_SOCKETS": str(folder)}
        process = subprocess.Popen([sys.executable, "-m", "parser"], env=environment)
        try:
            check = [sys.executable, "-m", "parser.sockets"]
            deadline = time.monotonic() + 100
            while subprocess.run(check, env=environment, stderr=subprocess.DEVNULL).returncode:
                assert process.poll() is None and time.monotonic() < deadline
        finally:
            process.terminate()
            process.wait(60)
        mine = sockets.own(folder)
        assert {path.name for path in folder.iterdir()} == {"other.sock", mine.name}
        assert stat.S_IMODE(mine.stat().st_mode) == 0o660


@contextmanager
def started(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "parser"], env=os.environ | environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


async def read_by(client: ParserClient, process: subprocess.Popen[bytes]) -> Parsed:
    deadline = time.monotonic() + 100
    while True:
        with suppress(Unavailable):
            await client.check()
            break
        assert process.poll() is None and time.monotonic() < deadline
        await asyncio.sleep(0.1)
    with pytest.raises(Unreadable):
        await client.parse(b"", "a.txt", None)
    return await client.parse("# Ö\n\nwörds".encode(), "a.md", None)


async def test_a_parser_with_a_host_listens_on_its_port_and_the_client_reads_there(
    tmp_path: Path,
) -> None:
    port, folder = free_port(), tmp_path / "p"
    client = ParserClient(f"http://127.0.0.1:{port}/", 60)
    with started(
        {"PARSER_HOST": "127.0.0.1", "PARSER_PORT": str(port), "PARSER_SOCKETS": str(folder)}
    ) as process:
        parsed = await read_by(client, process)
    assert (parsed.title, parsed.text) == ("Ö", "# Ö\n\nwörds")
    assert not folder.exists()  # no socket either
    with pytest.raises(Unavailable):
        await client.check()
    await client.close()
