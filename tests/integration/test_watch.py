"""`scripts/ingest.py DIR --watch` on the real retriever: a folder and the index in step."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rig import KEY, Api

from client import watch
from client.api import Busy, NotReachable, Retriever

SCRIPT = Path(__file__).parents[2] / "scripts" / "ingest.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nFirst words.")
    (folder / "sub" / "b.txt").write_text("Second words.")
    return folder


@pytest.fixture
def retriever(api: Api) -> Iterator[Retriever]:
    with Retriever(str(api.base_url), KEY) as retriever:
        yield retriever


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def mirror(retriever: Retriever, folder: Path, told: io.StringIO) -> watch.Mirror:
    return watch.Mirror(retriever, folder, "", Console(file=told, width=200))


def held(api: Api) -> dict[str, str]:
    documents = api.get("/v1/documents?limit=1000").json()["data"]
    return {one["source"]: api.text(one["id"]) for one in documents}


def test_additions_changes_and_removals_are_followed(
    api: Api, folder: Path, mirror: watch.Mirror
) -> None:
    assert mirror.bring_in_step()
    assert held(api) == {"a.md": "# A\n\nFirst words.", "sub/b.txt": "Second words."}
    (folder / "a.md").write_text("# A\n\nOther words.")
    (folder / "c.md").write_text("Third words.")
    (folder / "sub" / "b.txt").unlink()
    assert mirror.bring_in_step()
    assert held(api) == {"a.md": "# A\n\nOther words.", "c.md": "Third words."}


def test_what_went_while_nobody_watched_is_deleted_at_the_next_start(
    api: Api, folder: Path, mirror: watch.Mirror, retriever: Retriever
) -> None:
    mirror.bring_in_step()
    (folder / "a.md").unlink()
    watch.Mirror(retriever, folder, "", Console(file=io.StringIO())).bring_in_step()
    assert set(held(api)) == {"sub/b.txt"}


def test_documents_of_others_are_never_deleted(
    api: Api, folder: Path, tmp_path: Path, mirror: watch.Mirror, retriever: Retriever
) -> None:
    api.ingest({"text": "By hand.", "source": "by-hand.md"})
    elsewhere = tmp_path / "else" / "docs"  # of the same name
    elsewhere.mkdir(parents=True)
    (elsewhere / "e.md").write_text("Elsewhere.")
    watch.Mirror(retriever, elsewhere, "", Console(file=io.StringIO())).bring_in_step()
    mirror.bring_in_step()
    (folder / "a.md").unlink()
    mirror.bring_in_step()
    assert set(held(api)) == {"by-hand.md", "e.md", "sub/b.txt"}


def test_an_empty_folder_deletes_nothing_until_something_is_in_it_again(
    api: Api, folder: Path, mirror: watch.Mirror, told: io.StringIO
) -> None:
    mirror.bring_in_step()
    (folder / "a.md").unlink()
    (folder / "sub" / "b.txt").unlink()
    mirror.bring_in_step()
    assert set(held(api)) == {"a.md", "sub/b.txt"}
    assert "nothing is deleted" in told.getvalue()
    (folder / "c.md").write_text("Third words.")
    mirror.bring_in_step()
    assert set(held(api)) == {"c.md"}


def test_a_file_that_is_being_written_waits_until_it_is_whole(
    api: Api, folder: Path, mirror: watch.Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "slow.md"
    path.write_text("Half")
    monkeypatch.setattr(watch, "_wait", lambda _: path.write_text("Half and half."))
    assert not mirror.bring_in_step()
    assert set(held(api)) == {"a.md", "sub/b.txt"}
    monkeypatch.undo()
    assert mirror.bring_in_step()
    assert held(api)["slow.md"] == "Half and half."


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_in(
    api: Api, folder: Path, mirror: watch.Mirror, told: io.StringIO
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    assert mirror.bring_in_step()
    assert set(held(api)) == {"a.md", "sub/b.txt"}
    assert "broken.pdf: The file is not a readable PDF" in told.getvalue()


def test_what_is_transient_is_tried_again_as_late_as_it_asks(
    monkeypatch: pytest.MonkeyPatch, told: io.StringIO
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(watch, "_wait", waited.append)
    troubles = iter([NotReachable("refused"), Busy("503: down", 0.0), Busy("429: slowly", 7.0)])

    def call() -> bool:
        for trouble in troubles:
            raise trouble
        return True

    assert watch.patiently(call, Console(file=told))
    assert waited == [0.5, 1.0, 7.0]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def takewhile_included(wanted: Callable[[str], bool], lines: Iterable[str]) -> Iterator[str]:
    """The lines as long as they are `wanted`, and the first that is not."""
    for line in lines:
        yield line
        if not wanted(line):
            return


def test_the_command_follows_a_folder_and_ends_cleanly_at_ctrl_c(
    api: Api, folder: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "api-key").write_text(KEY)
    (state / "api-key").chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), "--watch", "--prefix", "team/"],
        env={
            **os.environ,
            "BULKHEAD_DATA": str(state),
            "RETRIEVER_PORT": str(api.base_url.port),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    guard = threading.Timer(100, process.kill)
    guard.start()
    try:
        until(lambda: set(held(api)) == {"team/a.md", "team/sub/b.txt"})
        (folder / "c.md").write_text("Third words.")
        until(lambda: "team/c.md" in held(api))
        (folder / "c.md").unlink()
        until(lambda: "team/c.md" not in held(api))
        # It is gone from the list before the command has its answer, and says so.
        assert process.stdout is not None
        said = list(takewhile_included(lambda line: "deleted" not in line, process.stdout))
        process.send_signal(signal.SIGINT)
        output = "".join(said) + process.communicate()[0]
    finally:
        process.kill()
        guard.cancel()
    assert process.returncode == 0, output
    assert output.splitlines()[-1].strip() == "stopped; what is in stays in"
    assert "deleted team/c.md" in output
    assert "Traceback" not in output
