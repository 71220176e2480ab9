"""Where the sandbox check finds a secret."""

import pytest
from walled import container

from sandbox import leaks
from sandbox.engine import CANARY, Probe, Result
from sandbox.scorecard import Finding, Verdict

SECRET = "bh_" + "s" * 43


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the engine says to each of its commands."""
    told = {"logs": "", "history": "FROM scratch", "inspect": f'["CANARY={CANARY}"]'}
    monkeypatch.setattr(leaks, "docker", lambda command, *_: Result(0, told[command]))
    return told


def judge(
    mode: str = "400", secrets: tuple[str, ...] = (SECRET,), text: dict[str, str] | None = None
) -> Finding:
    own = {"environments": f"CANARY={CANARY}", "command lines": f"python3 {CANARY}"}
    target = {"environments": "PATH=/bin", "command lines": "python", "modes": {"api-key": mode}}
    texts = {"target": target | (text or {}), "own": own}
    return leaks.judge(container(), Probe("0"), texts, secrets)


@pytest.mark.usefixtures("said")
def test_a_secret_that_is_in_its_file_alone_holds() -> None:
    assert judge().verdict is Verdict.HOLDS


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("place", ["environments", "command lines"])
def test_a_secret_of_a_process_is_found(place: str) -> None:
    finding = judge(text={place: f"KEY={SECRET}"})
    assert (finding.verdict, finding.evidence) == (Verdict.OPEN, f"a secret in {place}")


@pytest.mark.parametrize(("command", "place"), [("logs", "its log"), ("history", "its image")])
def test_a_secret_that_the_engine_tells_is_found(
    said: dict[str, str], command: str, place: str
) -> None:
    said[command] = f"a line with {SECRET} in it"
    assert judge().evidence == f"a secret in {place}"


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("mode", ["440", "404", "600", "777"])
def test_a_file_that_somebody_else_may_use_is_found(mode: str) -> None:
    assert judge(mode).evidence == f"api-key has mode {mode}"


@pytest.mark.usefixtures("said")
def test_without_a_secret_to_look_for_nothing_is_proven() -> None:
    assert judge(secrets=()).verdict is Verdict.UNPROVEN


def test_a_search_that_does_not_find_the_canary_proves_nothing(said: dict[str, str]) -> None:
    said["inspect"] = "[]"
    assert judge().verdict is Verdict.UNPROVEN
