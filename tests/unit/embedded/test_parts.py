"""Which parts there are, and what each is told by the environment and the state folder."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from bulkhead.auth import Role
from bulkhead.tool_tokens import TokenVerifier
from embedded import preflight
from embedded.errors import StackError
from embedded.parts import State, parts, retriever_url
from embedded.quality import handing_over, quality
from embedded.tool_list import own_servers, tool_list
from embedded.tools import prepare
from retriever.tool_servers import Signed, read_tool_servers


def test_hosts_of_the_environment_reach_every_part_that_needs_them(tmp_path: Path) -> None:
    given = {
        "LLM_HOST": "::1",
        "EMBEDDING_HOST": "0.0.0.0",
        "RETRIEVER_HOST": "::",
        "MCP_DATABASE_HOST": "127.0.0.2",
        "MCP_FILESYSTEM_HOST": "",
        "QUALITY_HOST": "::1",
    }
    kept = State(tmp_path)
    by_name = {part.name: part for part in [*parts(kept, given), quality(kept, given)]}
    assert by_name["retriever"].url == retriever_url(given) == "http://[::1]:8080"
    assert by_name["quality"].url == "http://[::1]:8082"
    assert by_name["quality"].environment["QUALITY_RETRIEVER_URL"] == "http://[::1]:8080"
    told = by_name["retriever"].environment
    assert told["RETRIEVER_LLM_URL"] == "http://[::1]:8000/v1"
    assert told["RETRIEVER_EMBEDDING_URL"] == "http://127.0.0.1:8081"
    assert told["RETRIEVER_TOOL_SERVERS_FILE"] == str(kept.tool_servers)
    assert urls(given) == {
        "filesystem": "http://127.0.0.1:8090/mcp",
        "database": "http://127.0.0.2:8091/mcp",
    }


def test_the_model_server_s_key_reaches_whoever_asks_it_and_no_other_server(tmp_path: Path) -> None:
    kept = State(tmp_path)
    file = str(kept.llm_key)

    def told(given: dict[str, str]) -> dict[str, Mapping[str, str]]:
        parts_of = [*parts(kept, given), quality(kept, given)]
        return {part.name: part.environment for part in parts_of}

    by_name = told({})
    assert by_name["llm"]["LLM_API_KEY_FILE"] == file
    assert by_name["retriever"]["RETRIEVER_LLM_API_KEY_FILE"] == file
    assert by_name["quality"]["QUALITY_LLM_API_KEY_FILE"] == file

    elsewhere = told({"RETRIEVER_LLM_URL": "http://model.example/v1"})
    assert "RETRIEVER_LLM_API_KEY_FILE" not in elsewhere["retriever"]
    assert "QUALITY_LLM_API_KEY_FILE" not in elsewhere["quality"]
    judged = told({"QUALITY_LLM_URL": "http://judge.example/v1"})
    assert "QUALITY_LLM_API_KEY_FILE" not in judged["quality"]


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "api-key"
    key = preflight.ensure_key(path)
    assert key.startswith("bh_") and len(key) >= 46
    assert path.stat().st_mode & 0o777 == 0o600
    assert preflight.ensure_key(path) == key
    path.chmod(0o644)
    with pytest.raises(StackError, match="others may read api-key"):
        preflight.ensure_key(path)


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.touch(0o600)
    with pytest.raises(StackError, match="api-key is empty"):
        preflight.ensure_key(path)


def test_ports_of_the_environment_reach_every_part_that_needs_them(tmp_path: Path) -> None:
    given = {"LLM_PORT": "9000", "EMBEDDING_PORT": "9081", "LLM_THREADS": "1"}
    by_name = {part.name: part for part in parts(State(tmp_path), given)}
    llm, embedding, retriever = (by_name[name] for name in ("llm", "embedding", "retriever"))
    assert (llm.address.port, embedding.address.port, retriever.address.port) == (9000, 9081, 8080)
    assert retriever.environment["RETRIEVER_LLM_URL"] == "http://127.0.0.1:9000/v1"
    assert retriever.environment["RETRIEVER_EMBEDDING_URL"] == "http://127.0.0.1:9081"
    assert llm.environment["LLM_THREADS"] == "1"


def test_a_model_server_that_runs_elsewhere_is_used_and_not_started(tmp_path: Path) -> None:
    elsewhere = {"RETRIEVER_LLM_URL": "http://10.0.0.7:8000/v1"}
    wanted = parts(State(tmp_path), elsewhere)
    assert "llm" not in [part.name for part in wanted]
    assert wanted[-1].environment["RETRIEVER_LLM_URL"] == "http://10.0.0.7:8000/v1"


def urls(environment: dict[str, str]) -> dict[str, str]:
    told = yaml.safe_load(tool_list(environment))
    return {one["name"]: one["url"] for one in told["servers"]}


def test_the_tool_servers_are_started_with_their_database_and_told_to_the_retriever(
    tmp_path: Path,
) -> None:
    wanted = parts(State(tmp_path), {"MCP_DATABASE_PORT": "9091"})
    assert [part.name for part in wanted] == [
        "llm", "postgres", "mcp-filesystem", "mcp-database", "embedding", "parser", "retriever",
    ]  # fmt: skip
    assert urls({"MCP_DATABASE_PORT": "9091"}) == {
        "filesystem": "http://127.0.0.1:8090/mcp",
        "database": "http://127.0.0.1:9091/mcp",
    }
    elsewhere = parts(State(tmp_path), {"RETRIEVER_TOOL_SERVERS_FILE": "/dev/null"})
    assert [part.name for part in elsewhere] == [
        "llm", "postgres", "embedding", "parser", "retriever",
    ]  # fmt: skip
    own = {
        "RETRIEVER_TOOL_SERVERS_FILE": "/dev/null",
        "RETRIEVER_DATABASE_URL": "postgresql://u@db/name",
    }
    (*_, retriever) = others = parts(State(tmp_path), own)
    assert [part.name for part in others] == ["llm", "embedding", "parser", "retriever"]
    assert retriever.environment["RETRIEVER_DATABASE_URL"] == "postgresql://u@db/name"
    assert "RETRIEVER_DATABASE_PASSWORD_FILE" not in retriever.environment


def test_a_state_folder_too_deep_for_the_parsers_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="too long a path for a Unix socket"):
        parts(State(tmp_path / ("d" * 100)), {})


def test_a_start_makes_keys_tokens_and_files_for_their_owner_alone(tmp_path: Path) -> None:
    kept = State(tmp_path / ".data")
    prepare(kept)
    servers = [one.part for one in own_servers()]
    assert [one.auth for one in read_tool_servers(kept.tool_servers)] == [
        Signed(type="signed", key_file=kept.signing_key(server)) for server in servers
    ]
    (kept.files / "docs" / "security.md").write_text("mine")
    keys = [kept.signing_key(server).read_text() for server in servers]
    prepare(kept)
    assert [kept.signing_key(server).read_text() for server in servers] == keys
    assert (kept.files / "docs" / "security.md").read_text() == "mine"
    for server in servers:
        for path in (kept.signing_key(server), kept.token(server)):
            assert path.stat().st_mode & 0o777 == 0o600
        verifier = TokenVerifier(kept.signing_key(server).read_text().strip().encode(), server)
        principal = verifier.verify(kept.token(server).read_text().strip())
        assert (principal.tenant, principal.role) == ("default", Role.READER)


def test_what_watches_gets_the_answers_of_the_retriever_it_watches(tmp_path: Path) -> None:
    kept = State(tmp_path)
    given = {"QUALITY_PORT": "9082", "LLM_PORT": "9000"}
    watcher = quality(kept, given)
    told = handing_over(kept, given)
    assert told["RETRIEVER_QUALITY_URL"] == watcher.url == "http://127.0.0.1:9082"
    assert told["RETRIEVER_QUALITY_TOKEN_FILE"] == watcher.environment["QUALITY_TOKEN_FILE"]
    assert watcher.environment["QUALITY_LLM_URL"] == "http://127.0.0.1:9000/v1"
    assert Path(told["RETRIEVER_QUALITY_TOKEN_FILE"]).exists()
    own = {"RETRIEVER_QUALITY_URL": "http://10.0.0.1:1", "RETRIEVER_LLM_URL": "http://10.0.0.2/v1"}
    assert handing_over(kept, own)["RETRIEVER_QUALITY_URL"] == "http://10.0.0.1:1"
    assert quality(kept, own).environment["QUALITY_LLM_URL"] == "http://10.0.0.2/v1"
