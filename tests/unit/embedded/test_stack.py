"""A run of the stack: what it prints, and with which code it ends."""

import io
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from small_parts import SLEEPER, part, server, wait_forever

import stack
from embedded import preflight
from embedded.parts import Part, State


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What `stack.run` prints; its parts are two servers and its state a folder of the test."""
    kept = State(tmp_path / ".data")
    monkeypatch.setattr(stack, "state", lambda: kept)
    use(monkeypatch, [server("embedding"), server("retriever")])
    return io.StringIO()


def use(monkeypatch: pytest.MonkeyPatch, wanted: Sequence[Part]) -> None:
    monkeypatch.setattr(stack, "parts", lambda kept: list(wanted))


def interrupt(key: str) -> stack.Outcome:
    os.kill(os.getpid(), signal.SIGINT)
    wait_forever()
    raise AssertionError


def test_ctrl_c_is_a_good_end_once_the_stack_is_up(out: io.StringIO) -> None:
    def up(key: str) -> stack.Outcome:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return stack.Outcome()

    assert stack.run(up, Console(file=out)) == 0
    assert out.getvalue().endswith("Ended.\n")


def test_ctrl_c_in_the_middle_of_the_demo_is_not(out: io.StringIO) -> None:
    assert stack.run(interrupt, Console(file=out)) == 130


def test_the_exit_code_says_how_the_demo_went(out: io.StringIO) -> None:
    assert stack.run(lambda key: stack.Outcome(1, stays=False), Console(file=out)) == 1
    assert stack.run(lambda key: stack.Outcome(0, stays=False), Console(file=out)) == 0


def test_a_part_that_dies_under_a_running_stack_ends_it(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = server("llm")
    use(monkeypatch, [server("retriever"), dying])

    def kill_one(key: str) -> stack.Outcome:
        for child in psutil.Process().children():
            if str(dying.address.port) in " ".join(child.cmdline()):
                child.kill()
        return stack.Outcome()

    assert stack.run(kill_one, Console(file=out, width=200)) == 6
    assert "stack: llm was killed by signal 9; its last words: listening" in out.getvalue()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("available_memory", 4, "1.0 GiB of memory"), ("free_disk", 5, "1.0 GiB of disk")],
)
def test_too_little_memory_or_disk_has_its_own_line_and_code(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch, name: str, code: int, words: str
) -> None:
    monkeypatch.setattr(preflight, name, lambda *where: 2**30 - 1)
    assert stack.run(interrupt, Console(file=out)) == code
    assert words in out.getvalue()


def test_a_taken_port_has_its_own_code(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        use(monkeypatch, [part("llm", SLEEPER, taken.getsockname()[1])])
        assert stack.run(interrupt, Console(file=out, width=200)) == 3
    assert "(llm) is taken" in out.getvalue()
