"""The clients of others that tests ask with, in a folder of their own: none is in a service's lock.

Made once and kept until what is wanted changes. Where no registry can be reached, the test skips.
"""

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WANTED = ROOT / "tests" / "clients"
FOLDER = ROOT / ".clients"
_SECONDS = 600
_UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
    r"|dns error|client error \(Connect\)|[Nn]etwork is unreachable|Connection refused"
    r"|operation timed out|Temporary failure in name resolution"
)


def python(of: Path = WANTED) -> Path:
    """The Python that has what `of` asks for: `tests/clients`, or another folder."""
    folder = FOLDER / _name("python", of)
    interpreter = folder / "bin" / "python"
    wanted = of / "requirements.txt"
    with _making(folder, wanted) as to_make:
        if to_make:
            uv = [sys.executable, "-m", "uv"]
            _run(*uv, "venv", "--python", sys.executable, str(folder))
            _run(*uv, "pip", "install", "--python", str(interpreter), "-r", str(wanted))
    return interpreter


def node(of: Path = WANTED) -> Path:
    """A folder whose scripts find what `of` asks for: `tests/clients`, or another folder."""
    folder = FOLDER / _name("node", of)
    wanted = of / "package.json"
    if shutil.which("npm") is None:
        pytest.skip("there is no Node.js here")
    with _making(folder, wanted) as to_make:
        if to_make:
            folder.mkdir(parents=True)
            shutil.copy(wanted, folder)
            quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
            _run("npm", "install", "--prefix", str(folder), *quiet)
    return folder


def _name(kind: str, of: Path) -> str:
    return kind if of == WANTED else f"{kind}-{of.name}"


@contextmanager
def _making(folder: Path, wanted: Path) -> Iterator[bool]:
    """Whether `folder` has to be made, by this process alone; it is whole when the block ends."""
    FOLDER.mkdir(exist_ok=True)
    made = folder / "made-from"
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        to_make = not made.is_file() or made.read_bytes() != wanted.read_bytes()
        if to_make:
            shutil.rmtree(folder, ignore_errors=True)
        yield to_make
        if to_make:
            shutil.copy(wanted, made)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        if _UNREACHABLE.search(done.stderr):
            pytest.skip(f"no registry can be reached: {done.stderr.strip().splitlines()[-1]}")
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
