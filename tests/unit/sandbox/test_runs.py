"""How the sandbox check judges what was run in the container itself, and when it cannot be."""

from typing import Any

import pytest
from walled import container

from sandbox import engine, runs
from sandbox.engine import EngineError, Result
from sandbox.scorecard import Finding, Verdict

OPEN: dict[str, object] = {"control": "OK", "attempt": "OK", "count": 65}
OWN = {"processes": OPEN, "user namespace": {"control": "OK", "attempt": "OK"}}
HELD: dict[str, dict[str, object]] = {
    "processes": {"control": "OK", "attempt": "EAGAIN", "count": 50},
    "user namespace": {"control": "OK", "attempt": "EPERM"},
}


def judge(monkeypatch: pytest.MonkeyPatch, told: Any, own: Any = OWN) -> dict[str, Finding]:
    def inside(*_: Any) -> Any:
        if isinstance(told, EngineError):
            raise told
        return told

    monkeypatch.setattr(runs, "inside", inside)
    return {one.wall: one for one in runs.judge(container(), "python3", 64, own)}


def test_both_refusals_by_name_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = judge(monkeypatch, HELD)
    assert {one.verdict for one in findings.values()} == {Verdict.HOLDS}
    assert "EAGAIN after 50" in findings["fork bomb"].evidence


@pytest.mark.parametrize(
    ("part", "wall", "told", "verdict"),
    [
        ("processes", "fork bomb", {"attempt": "OK"}, Verdict.OPEN),
        ("processes", "fork bomb", {"attempt": "ENOMEM"}, Verdict.UNPROVEN),
        ("processes", "fork bomb", {"attempt": "EXIT 2"}, Verdict.HOLDS),
        ("processes", "fork bomb", {"attempt": "EXIT 2", "control": "EXIT 127"}, Verdict.UNPROVEN),
        ("user namespace", "user namespace", {"attempt": "OK"}, Verdict.OPEN),
        ("user namespace", "user namespace", {"attempt": "EINVAL"}, Verdict.UNPROVEN),
        ("user namespace", "user namespace", {"attempt": "EXIT 1"}, Verdict.HOLDS),
        (
            "user namespace",
            "user namespace",
            {"attempt": "EXIT 127", "control": "EXIT 127"},
            Verdict.UNPROVEN,
        ),
    ],
)
def test_only_a_refusal_that_could_have_been_none_holds(
    monkeypatch: pytest.MonkeyPatch, part: str, wall: str, told: dict[str, str], verdict: Verdict
) -> None:
    findings = judge(monkeypatch, HELD | {part: HELD[part] | told})
    assert findings[wall].verdict is verdict, findings[wall]


def test_a_kernel_that_refuses_the_probe_too_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = OWN | {"user namespace": {"control": "OK", "attempt": "ENOSPC"}}
    assert judge(monkeypatch, HELD, own)["user namespace"].verdict is Verdict.UNPROVEN


def test_an_image_without_python_and_shell_is_unproven_in_words() -> None:
    findings = list(runs.judge(container(), None, 64, OWN))
    assert [one.wall for one in findings] == ["fork bomb", "user namespace"]
    for one in findings:
        assert one.verdict is Verdict.UNPROVEN
        assert "neither a Python nor a shell" in one.evidence


def test_a_run_that_ends_early_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = judge(monkeypatch, EngineError("the probe ended early"))
    assert {one.verdict for one in findings.values()} == {Verdict.UNPROVEN}


def test_a_command_that_the_engine_cannot_start_is_tried_again_and_is_no_wall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = [Result(126, "", "no room"), Result(0, "user-namespace 0 1\n1\n2\nprocesses 0 2\n")]
    monkeypatch.setattr(engine, "docker", lambda *command, **options: said.pop(0))
    monkeypatch.setattr("sandbox.engine.time.sleep", lambda seconds: None)
    assert engine.inside(container(), "sh", 64) == {
        "user namespace": {"control": "OK", "attempt": "EXIT 1"},
        "processes": {"control": "OK", "attempt": "EXIT 2", "count": 2},
    }

    monkeypatch.setattr(engine, "docker", lambda *command, **options: Result(127, ""))
    with pytest.raises(EngineError, match="its python3 does not start"):
        engine.inside(container(), "python3", 64)


@pytest.mark.parametrize("tool", ["sh", "python3"])
def test_a_probe_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    monkeypatch.setattr(engine, "docker", lambda *command, **options: Result(137, "7\n"))
    with pytest.raises(EngineError, match="ended early"):
        engine.inside(container(), tool, 64)
