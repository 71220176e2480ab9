"""Starts the parts, keeps what they print, sees when one ends, and ends them all.

honcho's Process and Printer do the work of a part; its Manager is not used, for a signal while it
starts processes leaves them running, and a second Ctrl-C does nothing there.
"""

import json
import os
import shlex
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

import psutil
from honcho.printer import Message, Printer
from honcho.process import Process

from embedded.errors import Interrupted, PartEnded
from embedded.parts import Part

GRACE_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ORPHAN_SECONDS = 0.2


class Running:
    """A part's process. honcho reports to `put`, from the thread that reads the output."""

    def __init__(self, part: Part, logs: Path, supervisor: "Supervisor") -> None:
        self.part = part
        self.pid: int | None = None
        self.returncode: int | None = None
        self.last_lines: deque[str] = deque(maxlen=20)
        self.started = threading.Event()
        self.ended = threading.Event()
        self._supervisor = supervisor
        self._log = _new_log(logs / f"{part.name}.log")
        self._thread = threading.Thread(target=self._run, name=part.name, daemon=True)

    def start(self) -> None:
        """Start the process; returns at once."""
        self._thread.start()

    def _run(self) -> None:
        # exec: the process takes the shell's place, and so its id and its process group's.
        command = f"exec {shlex.join(self.part.command)}"
        process = Process(command, name=self.part.name, env=dict(self.part.environment))
        try:
            process.run(events=self)
        except OSError as error:
            self.last_lines.append(str(error))
        finally:
            self._log.close()
            self.started.set()
            self.ended.set()
            self._supervisor.on_end(self)

    def put(self, message: Message) -> None:
        """Take in what honcho says: the process started, printed a line, or stopped."""
        if message.type == "start":
            self.pid = message.data["pid"]
            self.started.set()
        elif message.type == "stop":
            self.returncode = message.data["returncode"]
        else:
            self._log.write(message.data)
            self.last_lines.append(message.data.decode("utf-8", "replace"))
            self._supervisor.on_line(message)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process and all that it started; those that are gone are no error."""
        if self.pid is not None:
            # macOS answers EPERM for a group of which only a zombie is left.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def is_zombie(self) -> bool:
        """Whether the process ended while something that it started still holds its output."""
        if self.pid is None or self.ended.is_set():
            return False
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


class Supervisor:
    """Runs parts from `with` to its end; none outlives it.

    Inside, a signal raises `Interrupted` in the main thread, and a part that ends raises
    `PartEnded` there; a second signal, while the parts are being ended, kills them.
    Use it from the main thread only: Python delivers signals there.
    """

    def __init__(self, parts: Sequence[Part], logs: Path, printer: Printer | None = None) -> None:
        """`printer` also shows the parts' lines; they go to files in `logs` in any case."""
        logs.mkdir(parents=True, exist_ok=True)
        self._printer = printer
        self._running = [Running(part, logs, self) for part in parts]
        self._first_ended: Running | None = None
        self._entered = False
        self._early_signal: int | None = None
        self._ending = threading.Event()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        if before[signal.SIGHUP] is signal.SIG_IGN:  # nohup: the stack outlives the terminal
            del before[signal.SIGHUP]
        self._handlers_before = before

    def __enter__(self) -> "Supervisor":
        for number in self._handlers_before:
            signal.signal(number, self._on_signal)
        try:
            for running in self._running:
                running.start()
            threading.Thread(target=self._end_orphans, daemon=True).start()
            for running in self._running:
                running.started.wait()
            self._entered = True
            if self._early_signal is not None:
                self._on_signal(self._early_signal, None)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def wait(self) -> NoReturn:
        """Stay until a signal, or the end of a part, raises.

        In steps: a signal that comes as the thread falls asleep is only seen when it wakes.
        """
        while True:
            time.sleep(1)

    def on_line(self, message: Message) -> None:
        """A part printed a line."""
        if self._printer is not None:
            self._printer.write(message)

    def on_end(self, running: Running) -> None:
        """A part's process is gone. Where nobody asked for that, wake the main thread."""
        if self._ending.is_set() or self._first_ended is not None:
            return
        self._first_ended = running
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGTERM)

    def _on_signal(self, number: int, frame: object) -> None:
        if not self._entered:
            self._early_signal = number  # not before every process has an id to be ended by
        elif self._ending.is_set():
            self._signal_all(signal.SIGKILL)
        elif (ended := self._first_ended) is not None:
            self._ending.set()
            raise PartEnded(_obituary(ended))
        else:
            self._ending.set()
            raise Interrupted(number)

    def _end(self) -> None:
        """End every process: asked first, then killed, and with each all that it started."""
        self._ending.set()
        self._signal_all(signal.SIGTERM)
        self._await_end(GRACE_SECONDS)
        self._signal_all(signal.SIGKILL)
        self._await_end(GRACE_SECONDS)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for running in self._running:
            running.ended.wait(max(0.0, deadline - time.monotonic()))

    def _signal_all(self, number: signal.Signals) -> None:
        for running in self._running:
            running.signal_group(number)

    def _end_orphans(self) -> None:
        """End what a part left behind when it ended: its output, still held, would hide that."""
        while not all(running.ended.wait(_ORPHAN_SECONDS) for running in self._running):
            for running in self._running:
                if running.is_zombie():
                    running.signal_group(signal.SIGKILL)


def _new_log(path: Path) -> BinaryIO:
    """An empty file for this run; the run before it is kept beside it, older ones are not."""
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    return path.open("wb", buffering=0)


def _obituary(running: Running) -> str:
    code = running.returncode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended ({code})"
    lines = [line.strip() for line in running.last_lines if line.strip()]
    last_words = _message(lines[-1]) if lines else "none"
    return f"{running.part.name} {how}; its last words: {last_words}"


def _message(line: str) -> str:
    """What a line of output says: of a log line as JSON its message, else all of it."""
    try:
        told = json.loads(line)
    except ValueError:
        return line
    return str(told["message"]) if isinstance(told, dict) and "message" in told else line
