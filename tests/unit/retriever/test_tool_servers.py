"""The list of tool servers is read as it stands, and a wrong one is told in words."""

from pathlib import Path

import pytest

from bulkhead.tool_tokens import new_signing_key
from retriever.clients.mcp import McpServer
from retriever.tool_servers import read_tool_servers

GOOD = """
servers:
  - name: weather
    url: http://localhost/mcp
    socket: sockets/mcp.sock
    auth: {type: signed, key_file: keys/weather}
    trusted: true
  - {name: clock, url: "https://clock.example/mcp", auth: {type: none}}
  - {name: notes, url: "https://notes.example/mcp", auth: {type: bearer, token_file: /token}}
  - name: tickets
    url: https://tickets.example/mcp
    auth:
      type: client_credentials
      issuer: https://login.example
      client_id: bulkhead
      client_secret_file: secret
      scope: tickets.read
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_kind_of_server_is_read_with_paths_from_the_lists_own_folder(tmp_path: Path) -> None:
    weather, clock, notes, tickets = read_tool_servers(written(tmp_path, GOOD))
    assert weather.socket == tmp_path / "sockets" / "mcp.sock"
    assert weather.auth.model_dump() == {"type": "signed", "key_file": tmp_path / "keys/weather"}
    assert (weather.trusted, clock.trusted) == (True, False)
    assert (clock.socket, clock.auth.type) == (None, "none")
    assert notes.auth.model_dump() == {"type": "bearer", "token_file": Path("/token")}
    assert tickets.auth.model_dump() == {
        "type": "client_credentials",
        "issuer": "https://login.example",
        "client_id": "bulkhead",
        "client_secret_file": tmp_path / "secret",
        "scope": "tickets.read",
        "token_url": None,
    }


def test_no_list_and_an_empty_one_are_no_servers(tmp_path: Path) -> None:
    assert read_tool_servers(None) == ()
    for text in ("", "# nothing yet\n", "servers: []"):
        assert read_tool_servers(written(tmp_path, text)) == ()
    assert read_tool_servers(Path("/dev/null")) == ()


def test_an_address_may_name_variables_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCK_SERVICE_HOST", "10.1.2.3")
    text = GOOD.replace("https://clock.example", "http://${CLOCK_SERVICE_HOST}:8090")
    assert str(read_tool_servers(written(tmp_path, text))[1].url) == "http://10.1.2.3:8090/mcp"
    monkeypatch.delenv("CLOCK_SERVICE_HOST")
    with pytest.raises(ValueError, match=r"servers\.1\.url: .* no CLOCK_SERVICE_HOST"):
        read_tool_servers(written(tmp_path, text))


WRONG: dict[str, tuple[str | bytes, str]] = {
    "no YAML": ("servers: [", "list.yaml is not YAML"),
    "bytes": (b"\xff\xfe\x00", "list.yaml is not YAML"),
    "an object of Python": ("!!python/object:os.system {}", "is not YAML"),
    "another shape": ("[1]", "list.yaml is wrong: file"),
    "a number": ("3", "list.yaml is wrong: file"),
    "another key": ("servers: []\nmore: 1", "more: Extra inputs"),
    "an unknown field": (GOOD.replace("trusted", "trust"), "servers.0.trust"),
    "no login": ("servers: [{name: a, url: 'http://a/mcp'}]", "servers.0.auth: Field required"),
    "another login": (GOOD.replace("type: none", "type: basic"), "servers.1.auth"),
    "a login without its file": (GOOD.replace(", token_file: /token", ""), "token_file"),
    "no address": (GOOD.replace("https://clock.example/mcp", "clock"), "servers.1.url"),
    "a file as address": (GOOD.replace("https://clock", "file://clock"), "servers.1.url"),
    "an issuer of no address": (GOOD.replace("https://login.example", "login"), "issuer"),
    "a name in capitals": (GOOD.replace("name: clock", "name: Clock"), "servers.1.name"),
    "a name with a slash": (GOOD.replace("name: clock", "name: a/b"), "servers.1.name"),
    "the separator": (GOOD.replace("name: clock", "name: a__b"), "may not hold '__'"),
    "our own search": (GOOD.replace("name: clock", "name: retriever"), "retriever's own"),
    "a name twice": (GOOD.replace("name: clock", "name: notes"), "named twice: notes"),
    "OAuth by a socket": (
        GOOD.replace("issuer: ", "issuer: ").replace(
            "url: https://tickets.example/mcp", "url: https://tickets.example/mcp\n    socket: /s"
        ),
        "cannot go by a socket",
    ),
    "too much": ("#" * 2**20 + "\n#", "larger than a mebibyte"),
    "too deep": ("[" * 100_000, "is not YAML"),
}  # fmt: skip


def test_a_wrong_list_is_told_in_words(tmp_path: Path) -> None:
    for name, (text, words) in WRONG.items():
        with pytest.raises(ValueError) as caught:
            read_tool_servers(written(tmp_path, text))
        assert words in str(caught.value), name
    with pytest.raises(ValueError, match=r"cannot read the list of tool servers away\.yaml"):
        read_tool_servers(tmp_path / "away.yaml")


def test_a_secret_that_is_missing_is_named_and_one_that_is_there_is_known(tmp_path: Path) -> None:
    text = GOOD.replace("/token", "token")
    (tmp_path / "keys").mkdir()
    secrets = {"keys/weather": new_signing_key(), "token": "t0ken", "secret": "s3cret"}
    weather, _, notes, tickets = read_tool_servers(written(tmp_path, text))
    for entry, name in ((weather, "weather"), (notes, "token"), (tickets, "secret")):
        with pytest.raises(ValueError, match=f"{name}: No such file"):
            McpServer(entry, 1)
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret)
    servers = [McpServer(entry, 1) for entry in read_tool_servers(tmp_path / "list.yaml")]
    assert [one.secret for one in servers] == [
        secrets["keys/weather"], "", secrets["token"], secrets["secret"],
    ]  # fmt: skip
    (tmp_path / "keys/weather").write_text("short")
    with pytest.raises(ValueError, match="weather is too short"):
        McpServer(weather, 1)


def test_nothing_in_the_retriever_knows_a_server_by_name() -> None:
    package = Path(__file__).parents[3] / "services" / "retriever" / "retriever"
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in ("mcp_filesystem", "mcp_database", "mcp-filesystem", "mcp-database"):
            assert name not in text, path
