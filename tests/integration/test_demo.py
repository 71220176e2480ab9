"""The demo against the retriever itself: this project's documents in, citations checked."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from rig import KEY, Api
from scripted_llm import ScriptedLLM

from client import demo
from client.api import Retriever
from embedded.parts import ROOT
from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"


@pytest.fixture
def settings(settings: RetrieverSettings) -> RetrieverSettings:
    """More chunks than by default: embeddings that are hashes bring as many that are beside it."""
    return settings.model_copy(update={"top_k": 30, "context_tokens": 4000})


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(demo, "QUESTIONS", (QUESTION,))
    return io.StringIO()


def run(api: Api, out: io.StringIO) -> list[str]:
    with Retriever(str(api.base_url), KEY) as retriever:
        return demo.run(retriever, Console(file=out, soft_wrap=True))


def test_the_demo_ingests_this_projects_documents_and_verifies_what_is_cited(
    api: Api, llm: ScriptedLLM, out: io.StringIO
) -> None:
    llm.say("The retriever listens on port 8080.")
    assert run(api, out) == [], out.getvalue()
    documents = api.get("/v1/documents").json()["data"]
    paths = [path for folder in demo.FOLDERS for path in (ROOT / folder).iterdir()]
    files = [path for path in paths if path.is_file()]
    assert {one["source"] for one in documents} == {
        path.relative_to(ROOT).as_posix() for path in files
    }
    assert f"{len(files)}/{len(files)} documents" in out.getvalue()
    assert "The retriever listens on port 8080. [1]" in out.getvalue()
    assert "✓" in out.getvalue() and "✗" not in out.getvalue()


def test_an_answer_that_nothing_bears_out_fails_the_demo(
    api: Api, llm: ScriptedLLM, out: io.StringIO
) -> None:
    llm.say("Nine purple elephants dance.")
    assert run(api, out) == [f"asking “{QUESTION}”: no citation"]
    assert "no source bears this out: Nine purple elephants dance." in out.getvalue()


def test_a_document_that_cannot_be_read_fails_the_demo_and_is_named(
    api: Api,
    llm: ScriptedLLM,
    out: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llm.say("The retriever listens on port 8080.")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/ports.md").write_text("The retriever listens on port 8080.")
    (tmp_path / "docs/broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "FOLDERS", ("docs",))
    problems = run(api, out)
    assert [problem.partition(": ")[0] for problem in problems] == ["ingesting docs/broken.pdf"]
    assert "✗ docs/broken.pdf: " in out.getvalue()


def test_a_stack_without_documents_is_no_demo(
    api: Api, llm: ScriptedLLM, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "FOLDERS", ("nowhere",))
    assert run(api, out)[0] == "ingesting: no documents in nowhere"


def test_what_to_do_next_names_the_page_the_address_and_the_key_file(out: io.StringIO) -> None:
    console = Console(file=out)
    demo.show_next_steps("http://127.0.0.1:1234", ROOT / ".data/api-key", "bh_a b", console)
    assert "http://127.0.0.1:1234/#key=bh_a%20b\n" in out.getvalue()
    assert "http://127.0.0.1:1234/docs" in out.getvalue()
    assert '"Authorization: Bearer $(cat .data/api-key)"' in out.getvalue()
