"""From a fresh clone to an own tool server that the agent calls: what docs/tools.md says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import yaml
from rig import Api, running
from scripted_llm import ScriptedLLM, Turn
from serving import free_port, until

from bulkhead.tool_tokens import new_signing_key
from embedded.tool_list import own_servers, tool_list
from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(1800)  # A registry, a clone or a type check may be slow.
ROOT = Path(__file__).parents[2]
_UNREACHABLE = re.compile(r"the lock cannot be written: .*(error sending|dns|connect|fetch|Hint)")
TESTS = (
    "tests/unit/mcp_weather",
    "tests/unit/chart/test_network.py",
    "tests/unit/chart/test_pods.py",
    "tests/unit/chart/test_settings.py",
    "tests/unit/compose",
    "tests/unit/secrets",
    "tests/unit/scripts/test_mcp_json.py",
    "tests/unit/scripts/test_settings_doc.py",
    "tests/unit/observability/test_configuration.py",
    "tests/unit/retriever/test_agent_policy.py",
)


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the clone, with its packages before those that are installed here."""
    places = [*clone.glob("services/*"), *clone.glob("mcp_tools/*"), clone / "scripts"]
    path = os.pathsep.join(str(one) for one in places if one.is_dir())
    told = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=clone, env=told, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, with a server `weather` in it."""
    clone = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    for made in (".venv", ".charts"):  # without the second the chart's tests are skipped
        (clone / made).symlink_to(ROOT / made)
    done = run(clone, sys.executable, "scripts/new_tool_server.py", "weather")
    if _UNREACHABLE.search(done.stderr):
        pytest.skip(f"no registry can be reached: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "make setup" in done.stdout and "make serve" in done.stdout
    return clone


def test_nothing_but_additions_was_made_and_a_second_time_is_refused(clone: Path) -> None:
    stat = run(clone, "git", "diff", "--numstat").stdout.splitlines()
    gone = {path: int(lines) for _, lines, path in (line.split("\t") for line in stat)}
    # In mcp.json a comma, in pyproject.toml the one line, in the pins a comma and a bracket.
    assert {path for path, lines in gone.items() if lines} <= {
        "pyproject.toml", "mcp_tools/mcp.json",
        "services/retriever/retriever/agent/policy.pins.json",
    }  # fmt: skip
    again = run(clone, sys.executable, "scripts/new_tool_server.py", "weather")
    assert again.returncode == 1 and "is there already" in again.stderr


def test_what_was_made_is_formatted_checked_and_typed(clone: Path) -> None:
    for words in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        done = run(clone, sys.executable, "-m", *words)
        assert done.returncode == 0, done.stdout
    made = ["mcp_tools/weather", "tests/unit/mcp_weather"]
    done = run(clone, sys.executable, "-m", "mypy", "--follow-imports=silent", *made)
    assert done.returncode == 0, done.stdout


def test_its_tests_and_those_of_the_places_that_it_came_into_pass(clone: Path) -> None:
    done = run(clone, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS)
    assert done.returncode == 0, done.stdout[-4000:]


@contextmanager
def weather_serving(clone: Path, folder: Path) -> Iterator[Path]:
    """The server as the embedded mode starts it, and the list for the retriever."""
    listed = clone / "mcp_tools" / "servers.embedded.yaml"
    told = {"MCP_WEATHER_PORT": str(free_port())}
    (server,) = [one for one in own_servers(told, listed) if one.name == "weather"]
    assert (server.module, server.prefix) == ("mcp_weather", "MCP_WEATHER")
    key = folder / f"{server.part}-signing-key"
    key.write_text(new_signing_key())
    told["MCP_WEATHER_SIGNING_KEY_FILE"] = str(key)
    entries = yaml.safe_load(tool_list(told, listed))["servers"]
    alone = folder / "tool-servers.yaml"
    alone.write_text(
        yaml.safe_dump({"servers": [one for one in entries if one["name"] == "weather"]})
    )
    places = [clone / "services/core", clone / "mcp_tools/weather"]
    told["PYTHONPATH"] = os.pathsep.join(map(str, places))
    command = [sys.executable, "-m", server.module]
    with subprocess.Popen(command, env={**os.environ, **told}) as process:
        try:
            until(lambda: httpx2.get(f"{server.address.url}/healthz").status_code == 200)
            yield alone
        finally:
            process.terminate()


def test_the_agent_calls_it_and_cites_it(
    clone: Path, settings: RetrieverSettings, llm: ScriptedLLM, tmp_path: Path
) -> None:
    policy = clone / "services/retriever/retriever/agent/policy.yaml"
    with weather_serving(clone, tmp_path) as listed:
        told = settings.model_dump() | {"tool_policy_file": policy, "tool_servers_file": listed}
        with running(RetrieverSettings.model_validate(told)) as api:
            api.until_ready(lambda one: one["parts"]["mcp-weather"]["state"] == "up")
            assert answered(api, llm) == "The server weather was made from the template. [1]"


def answered(api: Api, llm: ScriptedLLM) -> str:
    """The answer after a call of the new tool."""
    llm.play(
        Turn(calls=[("weather__look_up", json.dumps({"words": "template"}))]),
        Turn("The server weather was made from the template."),
    )
    reply = api.ask("What was the server weather made from?", rag={"tools": True}).json()
    (step,) = reply["steps"]
    assert (step["server"], step["tool"], step["outcome"]) == ("weather", "look_up", "done")
    (citation,) = reply["citations"]
    assert citation["tool"]["server"] == "weather"
    answer: str = reply["choices"][0]["message"]["content"]
    return answer
