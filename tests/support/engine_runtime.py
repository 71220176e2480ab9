"""gVisor as a runtime of this machine's Docker engine, registered while a test runs."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAME = "gvisor-of-tests"
"""No name that a person would choose: one that is registered already stays as it is."""
ARGUMENTS = ["--network=host", "--host-uds=all"]
"""As docs/operations.md has them."""
_SETTINGS = Path("/etc/docker/daemon.json")
_PID = Path("/var/run/docker.pid")


@contextmanager
def gvisor() -> Iterator[str]:
    """The runtime's name; skips the test, with the reason, where there can be none."""
    program = shutil.which("runsc")
    if program is None:
        pytest.skip("gVisor's runsc is not on this machine")
    if os.geteuid() != 0 or not _PID.is_file():
        pytest.skip("the engine's settings cannot be changed from here: no root, or no /var/run")
    before = _SETTINGS.read_text(encoding="utf-8") if _SETTINGS.is_file() else None
    told = json.loads(before or "{}")
    runtime = {"path": program, "runtimeArgs": ARGUMENTS}
    told["runtimes"] = told.get("runtimes", {}) | {NAME: runtime}
    _SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    _SETTINGS.write_text(json.dumps(told, indent=2), encoding="utf-8")
    try:
        if not _reloaded(there=True):
            pytest.skip(f"the engine takes no runtime from {_SETTINGS}")
        yield NAME
    finally:
        if before is None:
            _SETTINGS.unlink()
        else:
            _SETTINGS.write_text(before, encoding="utf-8")
        _reloaded(there=False)


def _reloaded(there: bool) -> bool:
    """Have the engine read its settings again, which ends no container."""
    os.kill(int(_PID.read_text(encoding="ascii")), signal.SIGHUP)
    asked = ["docker", "info", "--format", "{{json .Runtimes}}"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (NAME in json.loads(subprocess.check_output(asked))) is there:
            return True
        time.sleep(0.5)
    return False
