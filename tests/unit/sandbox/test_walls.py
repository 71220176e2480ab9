"""How the sandbox check judges what its probes print; tests/stack runs the probes themselves."""

import subprocess
from typing import Any

import pytest

from sandbox import engine, walls
from sandbox.engine import Container, EngineError, Result
from sandbox.scorecard import Verdict
from sandbox.walls import WALLS

SERVICE = Container("qdrant", "0123", "sha256:4567", {}, (), {})
EROFS = "\n".join(f"touch: cannot touch '{one}': Read-only file system" for one in "abcd")

SEEN: list[tuple[str, str, bool]] = [
    ("user", "10001", True),
    ("user", "0", False),
    ("user", "", False),
    ("root", EROFS, True),
    ("root", f"{EROFS}\ntouch: cannot touch 'e': Permission denied", False),
    ("root", EROFS.replace("Read-only file system", "Permission denied"), False),
    ("root", f"{EROFS}\nwrote /files", False),
    ("root", "", False),
    ("capabilities", f"{'0' * 16} {'0' * 16} unshare: Operation not permitted", True),
    ("capabilities", f"{'0' * 16} {'0' * 16} 0", False),
    ("capabilities", f"{'0' * 16} 00000000a80425fb unshare: Operation not permitted", False),
    ("new privileges", "1", True),
    ("new privileges", "0", False),
    ("seccomp", "2", True),
    ("seccomp", "0", False),
    ("exec in tmpfs", "sh: 1: /tmp/.probe: Permission denied", True),
    ("exec in tmpfs", "ran", False),
    ("exec in tmpfs", "", False),
    ("full tmpfs", "dd: error writing '/tmp/.fill': No space left on device", True),
    ("full tmpfs", "314572800 bytes (315 MB, 300 MiB) copied", False),
    ("fork bomb", "sh: 0: Cannot fork", True),
    ("fork bomb", "1500", False),
    ("fork bomb", "", False),
    ("engine socket", "none", True),
    ("engine socket", "there", False),
    ("engine socket", "", False),
]


@pytest.mark.parametrize(("name", "output", "holds"), SEEN)
def test_only_the_refusal_itself_counts_as_a_wall(name: str, output: str, holds: bool) -> None:
    (wall,) = (wall for wall in WALLS if wall.name == name)
    assert wall.held(Result(0, output)) is holds


def test_every_wall_has_a_case_that_is_open() -> None:
    assert {wall.name for wall in WALLS} == {name for name, _, holds in SEEN if not holds}


def test_a_probe_that_a_plain_container_withstands_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = Result(1, "sh: 0: Cannot fork")
    monkeypatch.setattr(walls, "beside", lambda *run: refused)
    monkeypatch.setattr(walls, "inside", lambda *run: refused)

    findings = {one.wall: one for one in walls.Controls("image").try_walls(SERVICE)}

    assert findings["fork bomb"].verdict is Verdict.UNPROVEN
    assert "a plain container is stopped too" in findings["fork bomb"].evidence
    assert findings["user"].verdict is Verdict.OPEN


def test_a_shell_that_the_engine_cannot_start_is_no_wall_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 126, "OCI runtime exec failed: no", "")

    monkeypatch.setattr("sandbox.engine.subprocess.run", refuses)
    monkeypatch.setattr("sandbox.engine.time.sleep", lambda seconds: None)
    with pytest.raises(EngineError, match="no shell in qdrant"):
        engine.inside(SERVICE, "id -u")

    monkeypatch.setattr(walls, "beside", lambda *run: Result(0, "1500"))
    findings = list(walls.Controls("image").try_walls(SERVICE))
    assert {one.verdict for one in findings} == {Verdict.UNPROVEN}
