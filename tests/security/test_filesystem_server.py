"""The filesystem server as it runs: over HTTP, on a Unix socket, behind Landlock."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from files import CANARY, OTHER, FileRig, plant
from http_attacks import ATTACKS, Attack, check
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from serving import free_port
from tool_http import READER, ToolServer, tool_serving

from bulkhead.tool_tokens import mint, new_signing_key
from mcp_filesystem.landlock import version
from mcp_filesystem.main import NAME, create
from mcp_filesystem.settings import FilesystemSettings

TOOLS = ["list_directory", "read_text", "search_text", "find_files", "get_file_info"]


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[ToolServer]:
    """The server's app over a planted root, in this process."""
    rig = FileRig(folder)
    plant(rig)
    key = secrets.token_hex(32)
    (folder / "key").write_text(key)
    told = FilesystemSettings(
        port=free_port(),
        root=rig.root,
        tenants_root=rig.tenants,
        signing_key_file=folder / "key",
        **settings,
    )
    with tool_serving(create(told), told) as url:
        yield ToolServer(url, key.encode(), NAME, "read_text", {"path": "a.txt"}, "offset")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolServer]:
    """One server for the table, without a limit on the rate."""
    folder = tmp_path_factory.mktemp("files")
    with running(folder, requests_per_second=10_000, request_burst=10_000) as served:
        yield served


@asynccontextmanager
async def client(
    server: ToolServer, mode: Literal["auto", "legacy"] = "auto", token: str = ""
) -> AsyncIterator[Client]:
    """The SDK's own client."""
    headers = {"Authorization": f"Bearer {token or server.token()}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as made,
    ):
        yield made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_over_http_comes_to_what_it_must(server: ToolServer, attack: Attack) -> None:
    check(server, attack)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_any_client_sees_five_tools_that_only_read(
    server: ToolServer, mode: Literal["auto", "legacy"]
) -> None:
    async with client(server, mode) as made:
        tools = (await made.list_tools()).tools
    assert [tool.name for tool in tools] == TOOLS
    for tool in tools:
        assert tool.annotations
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.destructive_hint is False
        assert tool.annotations.open_world_hint is False
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema
        assert tool.output_schema["type"] == "object"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_fifty_ordinary_calls_all_pass(
    server: ToolServer, mode: Literal["auto", "legacy"]
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_directory", {}),
        ("list_directory", {"path": "."}),
        ("list_directory", {"path": "dir/"}),
        ("read_text", {"path": "a.txt"}),
        ("read_text", {"path": "dir/b.txt", "unit": "bytes", "limit": 3}),
        ("search_text", {"pattern": "below"}),
        ("search_text", {"pattern": "b.l", "regex": True, "context": 2}),
        ("find_files", {"glob": "**/*.txt"}),
        ("get_file_info", {"path": "a.txt"}),
        ("get_file_info", {"path": "dir"}),
    ]
    async with client(server, mode) as made:
        for tool, arguments in calls * 5:
            result = await made.call_tool(tool, arguments)
            assert not result.is_error, result.content
            assert result.structured_content


async def test_a_result_is_the_same_as_structure_and_as_text(server: ToolServer) -> None:
    async with client(server) as made:
        result = await made.call_tool("read_text", {"path": "a.txt"})
    (block,) = result.content
    assert block.type == "text"
    assert json.loads(block.text) == result.structured_content


async def test_another_tenants_token_sees_that_tenants_files(server: ToolServer) -> None:
    async with client(server, token=server.token(OTHER)) as made:
        result = await made.call_tool("list_directory", {})
    assert result.structured_content
    assert [one["name"] for one in result.structured_content["entries"]] == ["theirs.txt"]


class Process:
    """`python -m mcp_filesystem` in a folder of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.rig = FileRig(folder)
        self.rig.write("a.txt", "plain\n")
        self.key = new_signing_key()
        (folder / "key").write_text(self.key)
        self.port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "MCP_FILESYSTEM_ROOT": str(self.rig.root),
            "MCP_FILESYSTEM_PORT": str(self.port),
            "MCP_FILESYSTEM_SIGNING_KEY_FILE": str(folder / "key"),
            **environment,
        }
        self.folder = folder

    @contextmanager
    def started(self) -> Iterator[None]:
        """The process, from when it answers until SIGTERM has ended it."""
        command = [sys.executable, "-m", "mcp_filesystem"]
        with (
            (self.folder / "log").open("w") as log,
            subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log) as process,
        ):
            try:
                deadline = time.monotonic() + 60
                while not self.answers():
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield
            finally:
                process.terminate()
                assert process.wait(60) in (0, -signal.SIGTERM)

    def answers(self) -> bool:
        """Whether the server answers, on its port or its socket."""
        uds = self.environment.get("MCP_FILESYSTEM_UDS")
        try:
            with httpx2.Client(transport=httpx2.HTTPTransport(uds=uds)) as http:
                return http.get(f"http://127.0.0.1:{self.port}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def token(self) -> str:
        """A token for this process's server."""
        return mint(self.key.encode(), NAME, READER, 60)


def test_the_process_is_ready_behind_both_walls(tmp_path: Path) -> None:
    process = Process(tmp_path)
    with process.started():
        ready = httpx2.get(f"http://127.0.0.1:{process.port}/readyz", timeout=60)
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["parts"]["landlock"]["state"] == "up"
        assert httpx2.get(f"http://127.0.0.1:{process.port}/healthz", timeout=60).status_code == 200


def mode(path: Path) -> str:
    """A file's permissions, in octal."""
    return oct(path.stat().st_mode & 0o777)


async def test_the_sdks_client_reads_over_a_unix_socket_that_strangers_cannot_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mcp.sock"
    process = Process(tmp_path, MCP_FILESYSTEM_UDS=str(path))
    with process.started():
        assert mode(path) == "0o660"
        async with (
            httpx2.AsyncClient(
                transport=httpx2.AsyncHTTPTransport(uds=str(path)),
                headers={"Authorization": f"Bearer {process.token()}"},
            ) as http,
            Client(streamable_http_client("http://localhost/mcp", http_client=http)) as made,
        ):
            result = await made.call_tool("read_text", {"path": "a.txt"})
    assert result.structured_content
    assert result.structured_content["text"] == "plain\n"
    with process.started():  # the socket that was left behind is replaced
        pass


BREAK_OUT = """
import os, socket, sys
from pathlib import Path
from mcp_filesystem.landlock import python_folders, restrict
root, outside = map(Path, sys.argv[1:])
assert restrict({root} | python_folders())
attempts = {
    "read outside": lambda: (outside / "secret.txt").read_text(),
    "list outside": lambda: os.listdir(outside),
    "read a link's target": lambda: (root / "link-absolute").read_text(),
    "passwd": lambda: Path("/etc/passwd").read_text(),
    "environ": lambda: Path("/proc/self/environ").read_text(),
    "write inside": lambda: (root / "a.txt").write_text("x"),
    "create": lambda: (root / "new").write_text("x"),
    "truncate": lambda: os.truncate(root / "a.txt", 0),
    "remove": lambda: (root / "a.txt").unlink(),
    "rename": lambda: (root / "a.txt").rename(root / "b"),
    "link": lambda: os.link(root / "a.txt", root / "hard2"),
    "symlink": lambda: (root / "sym").symlink_to("/"),
    "mkdir": lambda: (root / "d").mkdir(),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "temporary": lambda: Path("/tmp/x-landlock").write_text("x"),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    print("escaped:", name)
print((root / "a.txt").read_text().strip(), "is read")
"""


@pytest.mark.skipif(version() == 0, reason="this kernel has no Landlock")
def test_behind_landlock_even_code_of_an_attacker_reads_the_root_and_nothing_else(
    tmp_path: Path,
) -> None:
    rig = FileRig(tmp_path)
    plant(rig)
    done = subprocess.run(
        [sys.executable, "-c", BREAK_OUT, str(rig.root), str(rig.outside)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("plain is read\n", "")
    assert CANARY not in done.stdout


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"MCP_FILESYSTEM_ROOT": "missing"}, "mcp-filesystem: No such file or directory: missing"),
        ({"MCP_FILESYSTEM_SIGNING_KEY_FILE": "missing"}, "cannot read the secret file missing"),
        ({"MCP_FILESYSTEM_PORT": "x"}, "mcp-filesystem: MCP_FILESYSTEM_PORT: "),
        ({"MCP_FILESYSTEM_TENANTS_ROOT": "root/inside"}, "must not hold each other"),
    ],
)
def test_a_start_that_cannot_work_ends_with_one_line(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    process = Process(tmp_path, **environment)
    (tmp_path / "root" / "inside").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "mcp_filesystem"],
        cwd=tmp_path,
        env=process.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) not in done.stderr


def test_a_short_signing_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    settings = FilesystemSettings(root=tmp_path, signing_key_file=tmp_path / "key")
    with pytest.raises(ValueError, match="key is too short"):
        create(settings)


def test_a_root_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    rig = FileRig(tmp_path)
    assert rig.folders.readable()
    rig.root.rmdir()
    assert not rig.folders.readable()
