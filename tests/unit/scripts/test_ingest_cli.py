"""`make ingest`: which files of a folder are handed in, in which requests, and what is told."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from serving import free_port, serving
from starlette.datastructures import UploadFile
from typer.testing import CliRunner, Result

import ingest
from client import upload
from client.api import NotReachable, Retriever
from parser.sniff import _EXTENSIONS

FINAL = {"succeeded", "partial", "failed"}


@dataclass
class Told:
    """What the scripted retriever is to do, and what it was handed."""

    fails: dict[str, str] = field(default_factory=dict)
    refuses: str = ""
    drops: int = 0  # streams of events that end before their job does
    events: int = 0
    batches: list[dict[str, bytes]] = field(default_factory=list)
    resumed_after: list[str] = field(default_factory=list)


def app(told: Told) -> FastAPI:
    app = FastAPI()

    def job(number: int, state: str) -> dict[str, Any]:
        names = told.batches[number]
        errors = [{"source": n, "message": m} for n, m in told.fails.items() if n in names]
        counts = dict.fromkeys(("added", "replaced", "unchanged", "failed", "pending", "chunks"), 0)
        if state in FINAL:
            counts |= {"added": len(names) - len(errors), "failed": len(errors), "chunks": 7}
        counts["total"] = len(names)
        return {"id": f"{number}", "state": state, "counts": counts, "errors": errors}

    @app.post("/v1/documents", status_code=202)
    async def documents(request: Request) -> Response:
        async with request.form() as form:
            files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
            batch = {file.filename or "": await file.read() for file in files}
        if told.refuses in batch:
            error = {"type": "too_large", "message": "too large", "request_id": "r-1"}
            return JSONResponse({"error": error}, 413)
        told.batches.append(batch)
        return JSONResponse(job(len(told.batches) - 1, "queued"), 202)

    @app.get("/v1/jobs/{number}/events")
    async def events(number: int, request: Request) -> StreamingResponse:
        told.resumed_after.append(request.headers["last-event-id"])

        async def stream() -> AsyncIterator[str]:
            told.events += 1
            yield f"event: job\nid: {told.events}\ndata: {json.dumps(job(number, 'running'))}\n\n"
            if told.drops:
                told.drops -= 1
                return
            state = "partial" if job(number, "failed")["errors"] else "succeeded"
            yield f"event: job\r\nid: 99\r\ndata: {json.dumps(job(number, state))}\r\n\r\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    return app


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def at(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(app(told)) as url:
        key = tmp_path / "state" / "api-key"
        key.parent.mkdir()
        key.write_text("bh_key\n")
        key.chmod(0o600)
        monkeypatch.setenv("BULKHEAD_DATA", str(key.parent))
        monkeypatch.setenv("RETRIEVER_PORT", url.rpartition(":")[2])
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents, in a folder and below it; a picture; and what is hidden."""
    files = {
        "a.md": "# A",
        "sub/Ünïcode & more.TXT": "b",
        "photo.png": "p",
        ".hidden.md": "h",
        ".git/config.txt": "g",
    }
    for name, text in files.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


def ingested(folder: Path | str | None) -> Result:
    command = typer.Typer()
    command.command()(ingest.main)
    return CliRunner().invoke(command, [], env={} if folder is None else {"DIR": str(folder)})


def test_a_folders_documents_go_in_under_their_paths(told: Told, at: str, folder: Path) -> None:
    result = ingested(folder)
    assert result.exit_code == 0, result.output
    assert told.batches == [{"a.md": b"# A", "sub/Ünïcode & more.TXT": b"b"}]
    assert "skipped, not a kind that is read: photo.png" in result.output
    assert "hidden" not in result.output and "config" not in result.output
    assert "2 of 2 documents are in" in result.output


def test_a_document_that_fails_is_named_and_the_others_go_in(
    told: Told, at: str, folder: Path
) -> None:
    told.fails = {"a.md": "no words \x1b[31min it"}
    result = ingested(folder)
    assert result.exit_code == 1
    assert "✗ a.md: no words [31min it" in result.output
    assert "1 of 2 documents are in" in result.output


def test_files_go_in_several_requests_under_the_limit(
    told: Told, at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "BATCH_BYTES", 10)
    for name, size in {"b.txt": 4, "c.txt": 6, "d.txt": 30, "e.txt": 1}.items():
        (folder / name).write_text("x" * size)
    assert ingested(folder).exit_code == 0
    sizes = [[len(content) for content in batch.values()] for batch in told.batches]
    assert sizes == [[3, 4], [6], [30], [1, 1]]


def test_a_request_that_is_refused_fails_its_files_and_no_others(
    told: Told, at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "BATCH_FILES", 1)
    told.refuses = "a.md"
    result = ingested(folder)
    assert result.exit_code == 1
    assert "✗ a.md: 413: too large (request r-1)" in result.output
    assert "1 of 2 documents are in" in result.output


def test_a_stream_of_events_that_drops_is_taken_up_where_it_was(told: Told, at: str) -> None:
    told.batches, told.drops = [{"a.md": b""}], 2
    with Retriever(at, "k") as retriever:
        accepted = retriever.upload([])
        states = [job.state for job in retriever.follow(accepted)]
    assert states == ["running"] * 3 + ["succeeded"]
    assert told.resumed_after == ["0", "1", "2"]


def test_a_stream_that_never_gets_anywhere_is_given_up(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.api._RECONNECT_SECONDS", 0.0)
    with Retriever(at, "k") as retriever:
        accepted = retriever.upload([])
    with (
        Retriever(f"http://127.0.0.1:{free_port()}", "k") as nobody,
        pytest.raises(NotReachable, match="broke off 6 times in a row"),
    ):
        list(nobody.follow(accepted))


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda path: None, "is not a folder"), (lambda path: path.mkdir(), "holds no document")],
)
def test_a_missing_and_an_empty_folder_are_one_line(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "none")
    result = ingested(tmp_path / "none")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1 and words in result.output


def test_without_a_folder_the_usage_is_shown() -> None:
    result = ingested(None)
    assert (result.exit_code, result.output.startswith("usage: make ingest DIR=")) == (2, True)


def test_a_file_that_is_gone_when_it_is_read_is_told(told: Told, at: str, folder: Path) -> None:
    (folder / "b.md").symlink_to(folder / "nowhere")
    result = ingested(folder)
    assert result.exit_code == 1
    assert "✗ b.md: No such file or directory" in result.output
    assert "2 of 3 documents are in" in result.output


def test_every_kind_that_a_folder_hands_in_is_one_that_the_parser_knows() -> None:
    assert _EXTENSIONS.keys() >= upload.KINDS
    assert {".xlsx", ".pptx", ".csv", ".eml", ".ipynb", ".epub"} <= upload.KINDS
