"""The policy is checked when it is read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk, write_policy

from bulkhead.auth import Principal, Role
from pin_tools import pin
from retriever.agent.policy import PACKAGED, DefinitionChangedError, Policy, PolicyError, Risk
from retriever.agent.servers import SEARCH_DEFINITION

ANN = Principal("ann", "default", frozenset(), Role.WRITER)
BOB = Principal("bob", "default", frozenset(), Role.WRITER)
EVE = Principal("eve", "other", frozenset(), Role.ADMIN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_policy(tmp_path, Desk().definitions())


def test_the_packaged_policy_only_reads_and_pins_our_own_search() -> None:
    policy = Policy.load(PACKAGED)
    assert {tool.policy.risk for tool in policy.tools.values()} == {Risk.READ}
    policy.tools["retriever__search_documents"].check(SEARCH_DEFINITION)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tools": []}, "tools"),
        ({"allow_everything": True}, "allow_everything"),
        ({"request": {"steps": 1}}, "request.calls"),
        ({"argument_bytes": 0}, "argument_bytes"),
        ({"approval_seconds": "soon"}, "approval_seconds"),
    ],
)
def test_a_wrong_policy_is_refused_by_the_field(
    path: Path, change: dict[str, Any], says: str
) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(PolicyError, match=says):
        Policy.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"risk": "none"},
        {"sha256": "x"},
        {"server": "De sk"},
        {"tool": "a__b"},
        {"calls": 0},
        {"extra": 1},
        {"tool": "x" * 31, "server": "y" * 31},
    ],
)
def test_a_wrong_tool_is_refused(path: Path, change: dict[str, Any]) -> None:
    file = yaml.safe_load(path.read_text())
    file["tools"][0] |= change
    path.write_text(yaml.safe_dump(file))
    with pytest.raises(PolicyError):
        Policy.load(path)


@pytest.mark.parametrize("text", ["", "[]", "tools: {", "\x00", "!!python/object:os.system {}"])
def test_what_is_no_policy_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(PolicyError):
        Policy.load(path)


def test_a_definition_that_is_not_the_hash_s_own_is_refused(path: Path) -> None:
    pins = path.with_suffix(".pins.json")
    pins.write_text(pins.read_text().replace("Read a note", "Send a note"))
    with pytest.raises(PolicyError, match="desk__read_note is not pinned"):
        Policy.load(path)


def test_a_changed_tool_is_shown_as_a_difference(path: Path) -> None:
    tool = Policy.load(path).tools["desk__read_note"]
    changed = Desk(description="Send a note.").definitions()["desk__read_note"]
    with pytest.raises(DefinitionChangedError) as caught:
        tool.check(changed)
    assert '-  "description": "Read a note by its name."' in str(caught.value)
    assert '+  "description": "Send a note."' in str(caught.value)
    with pytest.raises(DefinitionChangedError):
        tool.check(None)
    tool.check(Desk().definitions()["desk__read_note"])


def test_pinning_changes_nothing_but_the_hashes(path: Path) -> None:
    text = "# A comment.\n" + path.read_text()
    path.write_text(text)
    before = yaml.safe_load(text)
    pin(path, Desk(description="Another.").definitions())
    after = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("# A comment.\n")
    changed = [a["tool"] for b, a in zip(before["tools"], after["tools"], strict=True) if a != b]
    assert changed == ["read_note"]
    Policy.load(path)


def test_what_a_server_offers_comes_into_the_policy_as_writing(path: Path) -> None:
    path.write_text(path.read_text().replace("tools:\n", "tools:  # ours\n"))
    offered = Desk().definitions()
    before = yaml.safe_load(path.read_text())
    new: dict[str, Any] = {
        f"clock__{tool}": {"name": tool, "inputSchema": {}} for tool in ("now", "Zone-of")
    }
    pin(path, offered | new, [("clock", "now"), ("clock", "Zone-of")])
    assert "tools:  # ours\n" in path.read_text()
    after = yaml.safe_load(path.read_text())
    assert after["tools"][: len(before["tools"])] == before["tools"]
    policy = Policy.load(path)
    assert [one.name for one in policy.of("clock")] == ["clock__now", "clock__Zone-of"]
    assert {one.policy.risk for one in policy.of("clock")} == {Risk.WRITE}
