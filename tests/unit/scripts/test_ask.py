"""`make ask`: what is printed of an answer, and of everything that can go wrong with one."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from serving import free_port, serving
from typer.testing import CliRunner, Result

import ask
from client.api import Retriever, RetrieverError
from client.screen import clean, one_line

TEXT = "Häfen 🔴: the retriever listens on port 8080.\r\nMore."
START, END = TEXT.index("the"), TEXT.index("\r")


def citation(**changed: Any) -> dict[str, Any]:
    whole = {"marker": "1", "document_id": "d1", "chunk_id": "c1", "title": "Ports", "page": 3}
    place = {"source": "ports.md", "start": START, "end": END, "quote": TEXT[START:END], "score": 1}
    return whole | place | changed


@dataclass
class Told:
    """What the scripted retriever is to say."""

    words: list[str] = field(default_factory=lambda: ["It listens", " on port 8080. [1]"])
    citations: list[dict[str, Any]] = field(default_factory=lambda: [citation()])
    grounding: dict[str, Any] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    refusal: tuple[int, dict[str, Any]] | None = None
    break_off: dict[str, Any] | None = None
    ends_early: bool = False
    asked: list[str] = field(default_factory=list)


def app(told: Told) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> Response:
        told.asked.append(body["messages"][-1]["content"])
        if told.refusal:
            return JSONResponse(told.refusal[1], told.refusal[0])

        async def events() -> AsyncIterator[str]:
            def event(data: Any) -> str:
                return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"

            yield ": a comment, as servers send to keep a stream open\n\n"
            for word in told.words:
                yield event({"choices": [{"delta": {"content": word}}]})
            if told.break_off:
                yield event(told.break_off)
            if not told.ends_early:
                grounding = {"supported": True, "unsupported": [], "abstained": False}
                yield event(
                    {
                        "choices": [],
                        "citations": told.citations,
                        "grounding": grounding | told.grounding,
                        "retrieval": {"mode": "hybrid", "degraded": told.degraded},
                    }
                )
                yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/v1/documents/{document_id}/text")
    async def text(document_id: str) -> PlainTextResponse:
        return PlainTextResponse(TEXT)

    return app


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def at(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The scripted retriever, up at this address, and its key where the scripts look for it."""
    with serving(app(told)) as url:
        key = tmp_path / "api-key"
        key.write_text("bh_key\n")
        key.chmod(0o600)
        monkeypatch.setenv("BULKHEAD_DATA", str(tmp_path))
        monkeypatch.setenv("RETRIEVER_PORT", url.rpartition(":")[2])
        yield url


def asked(question: str = "Which port?", **variables: str) -> Result:
    command = typer.Typer()
    command.command()(ask.main)
    words = [question] if question else []
    return CliRunner().invoke(command, words, env=variables)


def test_the_answer_and_under_it_each_citation_checked(at: str) -> None:
    result = asked()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "It listens on port 8080. [1]"
    assert lines[1] == "  [1] Ports, page 3  ✓"
    assert lines[2] == "      “the retriever listens on port 8080.”"
    assert lines[3].startswith("  first words after 0.") and lines[3].endswith("s in all")


def test_off_a_terminal_a_long_quote_is_whole_and_on_one_line(told: Told, at: str) -> None:
    told.citations = [citation(quote="port " * 50)]
    assert f"      “{'port ' * 49}port”" in asked().output.splitlines()


def test_the_question_may_come_from_make_with_any_quoting(told: Told, at: str) -> None:
    question = """What's "$HOME" `id`; rm?"""
    assert asked("", Q=question).exit_code == 0
    assert told.asked == [question]


def test_a_citation_that_is_not_what_the_document_says_is_marked(told: Told, at: str) -> None:
    told.citations = [citation(start=START + 1, end=END + 1)]
    output = asked().output
    assert "✗ not what the document says" in output and "✓" not in output


def test_what_no_source_bears_out_is_shown_once_and_cut_short(told: Told, at: str) -> None:
    told.grounding = {"supported": False, "unsupported": ["One."] * 5 + ["2.", "3.", "4.", "5."]}
    output = asked().output
    assert output.count("no source bears this out: One.") == 1
    assert "nor 2 other sentences" in output and "4." not in output


def test_an_abstention_and_a_part_that_was_down_are_said(told: Told, at: str) -> None:
    told.words, told.citations = ["I do not know."], []
    told.grounding, told.degraded = {"supported": False, "abstained": True}, ["embedding"]
    output = asked().output
    assert "The answer says that it does not know." in output
    assert "embedding was down, the search did without" in output


def test_neither_answer_nor_document_can_drive_the_terminal(told: Told, at: str) -> None:
    told.words = ["\x1b[2Jcl", "eared\x07 \x9b31m [bold]not markup[/bold]\r"]
    told.citations = [citation(title="\x1b]0;owned\x07 [red]x[/]", quote="q\u202e\x1b[1m\nline")]
    output = asked().output
    assert not set(output) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"}
    assert "[bold]not markup[/bold]" in output and "[red]x[/]" in output
    assert "“q[1m line”" in output


def test_without_a_question_the_usage_is_shown(at: str) -> None:
    result = asked("")
    assert (result.exit_code, result.output.startswith("usage: make ask Q=")) == (2, True)


def test_a_stack_that_is_not_up_is_one_line(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVER_PORT", str(free_port()))
    result = asked()
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1 and "the stack is not up" in result.output


def test_a_stack_that_never_ran_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_DATA", str(tmp_path))
    result = asked()
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1 and "no key yet" in result.output


def test_a_refusal_is_told_in_the_servers_words_and_request_id(told: Told, at: str) -> None:
    error = {"type": "unavailable", "message": "the model is down", "request_id": "r-7"}
    told.refusal = 503, {"error": error}
    result = asked()
    assert result.exit_code == 1
    assert result.output == "503: the model is down (request r-7)\n"


def test_an_answer_that_breaks_off_is_a_failure_after_what_was_said(told: Told, at: str) -> None:
    error = {"type": "unavailable", "message": "the model is gone", "request_id": "r-8"}
    told.break_off = {"error": error}
    result = asked()
    assert result.exit_code == 1
    assert "It listens on port 8080." in result.output
    assert "the answer broke off: the model is gone (request r-8)" in result.output


def test_an_answer_without_its_last_chunk_is_a_failure(told: Told, at: str) -> None:
    told.ends_early = True
    with Retriever(at, "k") as retriever, pytest.raises(RetrieverError, match="before its cit"):
        list(retriever.ask("Which port?"))


def test_clean_keeps_every_script_and_drops_what_terminals_act_on() -> None:
    kept = "Häfen\tשלום\nمرحبا 🔴 e\u0301 a\u200db"  # noqa: RUF001
    assert clean(kept) == kept
    assert clean("a\x00b\x1bc\x7fd\x85e\u2066f\ud800g") == "abcdefg"


def test_one_line_cuts_long_words_short() -> None:
    assert one_line("a\n  b\tc", 10) == "a b c"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"
