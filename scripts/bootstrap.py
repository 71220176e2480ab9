"""Makes .venv from the hashed lock. Standard library only: it runs on a bare machine.

Quick when nothing changed: a stamp in .venv holds a digest of all that decides what is installed.
It is written last, so a run that was cut off is seen, and its environment made anew.

Certificates are those that the system trusts, where it has a store of them: the certificate of a
company's proxy is in no other.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import IO

from diagnosis.machine import GIB, available_memory, free_disk
from torch_index import CPU_INDEX, TORCH, choose

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "bulkhead-stamp"
UNFINISHED = VENV / "bulkhead-unfinished"

OLDEST_PYTHON = (3, 11)
# Measured on Linux x86-64, Python 3.11: 1.8 GiB installed, and the largest wheel beside it while
# it is unpacked; an install peaks at 0.4 GiB of memory.
NEEDED_DISK = 3 * GIB
NEEDED_MEMORY = 1 * GIB
TAIL_LINES = 15


class SetupError(Exception):
    """Why the environment cannot be made: one line for a person, and the end of a tool's output."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail


def main() -> int:
    """Bring .venv up to date; the exit status: 0, or 1 with one line that says why."""
    try:
        check_python(sys.version_info[:2], importlib.util.find_spec("ensurepip") is not None)
        with Path(__file__).open(encoding="utf-8") as own:
            fcntl.flock(own, fcntl.LOCK_EX)  # a second run waits, then finds all done
            stamp = digest()
            if not (STAMP.is_file() and STAMP.read_text(encoding="ascii") == stamp):
                install(stamp)
    except SetupError as error:
        if error.tail:
            print(error.tail, file=sys.stderr)
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the next run starts over", file=sys.stderr)
        return 130
    return 0


def check_python(version: tuple[int, int], has_ensurepip: bool) -> None:
    """Raise SetupError for a Python that is too old or that cannot make an environment."""
    if version < OLDEST_PYTHON:
        raise SetupError(
            f"this is Python {version[0]}.{version[1]}; 3.11 or newer is needed"
            " (make PYTHON=python3.12 names another)"
        )
    if not has_ensurepip:
        raise SetupError(
            "this Python has no venv module; on Debian and Ubuntu: apt install python3-venv"
        )


def check_machine(disk: int, memory: int) -> None:
    """Raise SetupError where the bytes free on disk or in memory are too few."""
    if disk < NEEDED_DISK:
        raise SetupError(
            f"{disk / GIB:.1f} GiB free on disk; the environment needs {NEEDED_DISK / GIB:.0f} GiB"
        )
    if memory < NEEDED_MEMORY:
        raise SetupError(
            f"{memory / GIB:.1f} GiB of memory available; setting up needs"
            f" {NEEDED_MEMORY / GIB:.0f} GiB"
        )


def service_folders() -> list[Path]:
    """The folders of the services and tool servers, each one package."""
    places = ("services", "mcp_tools")
    return sorted(path.parent for name in places for path in ROOT.glob(f"{name}/*/pyproject.toml"))


def digest() -> str:
    """Stands for all that decides what is installed: the Python, this folder, locks, packages."""
    told = hashlib.sha256(f"{sys.version} {sys.platform} {ROOT} {TORCH}".encode())
    for path in (LOCK, *(folder / "pyproject.toml" for folder in (ROOT, *service_folders()))):
        if not path.is_file():
            raise SetupError(f"{path.name} is missing; is this the whole repository?")
        told.update(path.read_bytes())
    return told.hexdigest()


def install(stamp: str) -> None:
    """All the steps; `stamp` is written when the last has worked."""
    check_machine(free_disk(VENV), available_memory())
    print("Setting up .venv (once; later runs are instant)")
    if UNFINISHED.exists() or not usable():
        step("a fresh environment", [sys.executable, "-m", "venv", "--clear", str(VENV)])
    STAMP.unlink(missing_ok=True)
    UNFINISHED.touch()
    pip = [str(PYTHON), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    uv = [str(VENV / "bin" / "uv"), "--no-progress", "pip", "install", "--python", str(PYTHON)]
    store = certificates()
    if store:
        uv.append("--system-certs")
        if "CURL_CA_BUNDLE" not in os.environ:
            # For pip before 24.2. The weakest of its settings, so those of a person go first.
            os.environ.setdefault("REQUESTS_CA_BUNDLE", store)
    packages = LOCK.read_text(encoding="utf-8")

    with tempfile.NamedTemporaryFile("w", suffix=".lock", encoding="utf-8") as only_uv:
        only_uv.write(locked(packages, "uv"))
        only_uv.flush()
        hashed = ["--require-hashes", "--no-deps", "--requirement"]
        step("uv, the installer, 25 MB", [*pip, "install", *hashed, only_uv.name])
    # uv, for it is six times as fast as pip here (11 s to 64 s). It does not read pip's settings.
    step(
        f"{sum(line[0].isalnum() for line in packages.splitlines())} packages, two small models"
        " among them, 430 MB",
        [*uv, *hashed, str(LOCK)],
        "uv takes an index from UV_DEFAULT_INDEX, not from pip's settings",
    )
    step(*torch_step(pip, choose(pip, os.environ.get("BULKHEAD_TORCH_INDEX"))))
    places = (ROOT, *service_folders())
    folders = [word for folder in places for word in ("--editable", str(folder))]
    step(
        "this project's services and scripts", [*uv, "--no-deps", "--no-build-isolation", *folders]
    )

    STAMP.write_text(stamp, encoding="ascii")
    UNFINISHED.unlink()


def usable() -> bool:
    """Whether .venv holds an environment that runs pip with the Python that runs this."""
    probe = "import pip, sys; print(sys.version)"
    try:
        found = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return found.returncode == 0 and found.stdout.strip() == sys.version


def torch_step(pip: list[str], index: str) -> tuple[str, list[str], str]:
    """What to say and to run for torch, by pip: it also knows wheels that lie on this machine."""
    command = [*pip, "install", "--no-compile", TORCH]
    if index:
        whose = "PyTorch's CPU index, 200 MB" if index == CPU_INDEX else "BULKHEAD_TORCH_INDEX"
        return f"{TORCH} from {whose}", [*command, "--index-url", index], ""
    return f"{TORCH}, 200 MB, or some GB where its build has CUDA", command, ""


def certificates() -> str | None:
    """The file or folder of the certificates that the system trusts; None where there are none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).stat().st_size:
        return paths.cafile
    if paths.capath and any(Path(paths.capath).glob("*.0")):
        return paths.capath
    return None


def locked(lock: str, name: str) -> str:
    """The lines of one package in a lock: the pin, and the hashes under it."""
    lines: list[str] = []
    inside = False
    for line in lock.splitlines(keepends=True):
        if not line[0].isspace():
            inside = line.startswith(f"{name}==")
        if inside:
            lines.append(line)
    if not lines:
        raise SetupError(f"requirements.lock does not hold {name}")
    return "".join(lines)


def step(title: str, command: list[str], hint: str = "") -> None:
    """Run one command with its output kept aside; on failure SetupError with the end of it."""
    started = time.monotonic()
    print(f"  {title} …", end="", flush=True)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process:
            _wait(process, title, started)
        if process.returncode:
            print(" failed")
            ending = f"; {hint}" if hint else ""
            raise SetupError(f"exit code {process.returncode} from: {title}{ending}", tail(output))
    print(f" {time.monotonic() - started:.0f} s")


def _wait(process: subprocess.Popen[bytes], title: str, started: float) -> None:
    """Wait for the end; a terminal is shown the seconds meanwhile."""
    try:
        while True:
            try:
                process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if sys.stdout.isatty():
                    print(f"\r  {title} … {time.monotonic() - started:.0f} s", end="", flush=True)
        if sys.stdout.isatty():
            print(f"\r  {title} …", end="")
    except BaseException:
        process.kill()
        raise


def tail(output: IO[str]) -> str:
    """The last lines of a finished command's output."""
    output.seek(0)
    return "".join(deque(output, TAIL_LINES)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
