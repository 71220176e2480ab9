"""The parts' processes: started, watched, and ended with all that they started."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from small_parts import DEAF, PARENT, SLEEPER, first_line, is_gone, part, wait_forever

from embedded.errors import Interrupted, PartEnded
from embedded.supervisor import Running, Supervisor


def test_leaving_ends_every_process_and_all_that_they_started(tmp_path: Path) -> None:
    parent = part("parent", PARENT.format(child=DEAF, then="child.wait()"))
    with Supervisor([parent, part("other", SLEEPER)], tmp_path):
        grandchild = int(first_line(tmp_path / "parent.log"))
        first_line(tmp_path / "other.log")
        assert psutil.pid_exists(grandchild)
    assert is_gone(grandchild)


def test_a_part_that_ends_is_named_with_its_code_and_last_words(tmp_path: Path) -> None:
    dying = part("llm", "print('loading'); print('no such file: model'); raise SystemExit(9)")
    with (
        pytest.raises(PartEnded, match=r"llm ended \(9\); its last words: no such file: model"),
        Supervisor([part("other", SLEEPER), dying], tmp_path),
    ):
        wait_forever()


def test_the_last_words_of_a_service_are_the_message_of_its_log_line(tmp_path: Path) -> None:
    line = '{"level": "error", "message": "the index was built by another model", "logger": "x"}'
    with (
        pytest.raises(PartEnded, match=r"its last words: the index was built by another model$"),
        Supervisor([part("retriever", f"print({line!r})")], tmp_path),
    ):
        wait_forever()


def test_a_part_that_is_killed_is_seen_while_its_child_holds_the_output(tmp_path: Path) -> None:
    then = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        pytest.raises(PartEnded, match="retriever was killed by signal 9"),
        Supervisor([part("retriever", PARENT.format(child=SLEEPER, then=then))], tmp_path),
    ):
        wait_forever()


@pytest.fixture
def hang_up_default() -> Iterator[None]:
    """SIGHUP as a terminal's programs have it, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_default")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, Supervisor([part("one", SLEEPER)], tmp_path):
        os.kill(os.getpid(), number)
        wait_forever()
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_while_processes_are_started_ends_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Running.start

    def start_and_interrupt(running: Running) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(running)

    monkeypatch.setattr(Running, "start", start_and_interrupt)
    with pytest.raises(Interrupted), Supervisor([part(n, SLEEPER) for n in "abc"], tmp_path):
        raise AssertionError("it was interrupted before")


@pytest.mark.usefixtures("hang_up_default")
def test_under_nohup_the_stack_outlives_its_terminal(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Supervisor([part("one", SLEEPER)], tmp_path):
        os.kill(os.getpid(), signal.SIGHUP)
        first_line(tmp_path / "one.log")


def test_a_second_signal_kills_what_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.supervisor.GRACE_SECONDS", 600.0)  # the test's limit is 100
    with pytest.raises(Interrupted), Supervisor([part("deaf", DEAF)], tmp_path):
        first_line(tmp_path / "deaf.log")
        second = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        second.start()
        os.kill(os.getpid(), signal.SIGINT)
        wait_forever()


def test_the_output_of_this_run_and_of_the_last_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        with (
            pytest.raises(PartEnded),
            Supervisor([part("llm", f"print({word!r})")], tmp_path),
        ):
            wait_forever()
    assert (tmp_path / "llm.log").read_text() == "third\n"
    assert (tmp_path / "llm.log.1").read_text() == "second\n"
