"""A server that cannot be is refused before anything is written, and what fails leaves nothing."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from generator.bridge import planned_bridge
from generator.server import LISTS, POLICY, CannotMake, all_or_nothing, planned

ROOT = Path(__file__).parents[3]
READ = (
    "compose.yaml", "pyproject.toml", "mcp_tools/mcp.json", "tests/stack/compose.standin.yaml",
    "observability/prometheus/embedded.yml", "services/secrets/secrets_maker/plan.py",
    POLICY, POLICY.replace(".yaml", ".pins.json"), *LISTS,
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with the files that a new server changes."""
    for path in READ:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    return tmp_path


def everything(tree: Path) -> dict[str, bytes]:
    return {str(one): one.read_bytes() for one in tree.rglob("*") if one.is_file()}


def test_bad_names_and_our_own_are_refused(tree: Path) -> None:
    bad = ["", "Weather", "wéather", "a b", "a_b", "a--b", "-a", "a-", "1a", "a1", "../x", "a/b",
           "x" * 21, "a\n", "${x}", "bridge", "retriever"]  # fmt: skip
    for name in bad:
        with pytest.raises(CannotMake, match="name"):
            planned(tree, name)


def test_a_name_that_stands_in_any_place_already_is_refused(tree: Path) -> None:
    for name in ("database", "filesystem"):
        with pytest.raises(CannotMake, match="is there already"):
            planned(tree, name)
    _, changes = planned(tree, "weather")
    for path in READ:
        if path.endswith(".json") and "pins" in path:
            continue
        before = (tree / path).read_text()
        (tree / path).write_text(changes[path])  # a half, as a person may have left it
        with pytest.raises(CannotMake, match=Path(path).name.replace(".", r"\.")):
            planned(tree, "weather")
        (tree / path).write_text(before)
    (tree / "mcp_tools/weather").mkdir()
    with pytest.raises(CannotMake, match="mcp_tools/weather"):
        planned(tree, "weather")


def test_a_package_without_a_version_and_a_command_of_nothing_are_refused(tree: Path) -> None:
    for requirement in ("", "mcp-server-time", "a>=1", "a==1 b==2", "git+https://x/y", "../x"):
        with pytest.raises(CannotMake, match="no package with a version"):
            planned_bridge(tree, "clock", requirement, "mcp-server-time")
    for command in ("", " ", "'a"):
        with pytest.raises(CannotMake, match="the command"):
            planned_bridge(tree, "clock", "mcp-server-time==1", command)
    with pytest.raises(CannotMake, match="is there already"):
        planned_bridge(tree, "database", "mcp-server-time==1", "mcp-server-time")


def test_a_bridge_comes_into_compose_without_a_network_and_untrusted(tree: Path) -> None:
    command = "mcp-server-time --local-timezone='Europe/Berlin' --price $5"
    server, changes = planned_bridge(tree, "clock", "mcp-server-time==2026.10.19", command)
    compose = yaml.safe_load(changes["compose.yaml"])
    clock = compose["services"]["mcp-clock"]
    assert clock["network_mode"] == "none" and "networks" not in clock
    assert clock["build"]["args"]["SERVER"] == "clock"
    told = clock["environment"]["MCP_BRIDGE_COMMAND"]
    assert json.loads(told.replace("$$", "$")) == [
        "/server/bin/mcp-server-time", "--local-timezone=Europe/Berlin", "--price", "$5",
    ]  # fmt: skip
    assert (
        "mcp-clock-socket:/run/mcp-clock:ro,nocopy" in compose["services"]["retriever"]["volumes"]
    )
    assert "noexec" in compose["volumes"]["mcp-clock-socket"]["driver_opts"]["o"]
    entry = yaml.safe_load(changes[LISTS[0]])["servers"][-1]
    assert entry["name"] == "clock" and "trusted" not in entry
    assert f'"mcp-clock": {server.user},' in changes["services/secrets/secrets_maker/plan.py"]
    assert POLICY not in changes  # what it offers is for a person to look at first


def test_a_name_that_another_one_begins_with_is_free(tree: Path) -> None:
    assert planned(tree, "data")[0].part == "mcp-data"
    assert planned(tree, "file")[0].part == "mcp-file"


def test_two_servers_share_no_port_and_no_user(tree: Path) -> None:
    first, changes = planned(tree, "weather")
    with all_or_nothing(tree, changes):
        pass
    second, _ = planned(tree, "tides")
    assert (second.port, second.user) == (first.port + 1, first.user + 1)


def test_what_fails_on_the_way_leaves_everything_as_it_was(tree: Path) -> None:
    before = everything(tree)
    folders = {one for one in tree.rglob("*") if one.is_dir()}
    _, changes = planned(tree, "weather")
    lock = "mcp_tools/weather/requirements.lock"
    for error in (CannotMake("no registry"), KeyboardInterrupt()):
        with (
            pytest.raises(type(error)),
            all_or_nothing(tree, changes, (lock,)),
        ):
            (tree / lock).write_text("half")
            assert everything(tree) != before
            raise error
        assert everything(tree) == before
        assert {one for one in tree.rglob("*") if one.is_dir()} == folders


def test_a_file_that_is_not_as_it_must_be_is_told(tree: Path) -> None:
    (tree / "compose.yaml").write_text("services: {}\n")
    with pytest.raises(CannotMake, match="services"):
        planned(tree, "weather")
