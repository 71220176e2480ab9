"""The embedded stack with small processes in the place of its parts: start, watch, end."""

import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest
import yaml
from rich.console import Console
from serving import free_port

import stack
from bulkhead.auth import Role
from bulkhead.tool_tokens import TokenVerifier
from embedded import preflight
from embedded.address import Address
from embedded.errors import Interrupted, NotReady, PartEnded, PortTaken, StackError
from embedded.parts import Part, State, parts, retriever_url
from embedded.quality import handing_over, quality
from embedded.readiness import answer, await_ready
from embedded.supervisor import Running, Supervisor
from embedded.tool_list import own_servers, tool_list
from embedded.tools import prepare
from retriever.tool_servers import Signed, read_tool_servers

# Serves 200 on every path, as soon as it can.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write({body!r}.encode())
    def log_message(self, *words): pass
print("listening", flush=True)
class Server(http.server.HTTPServer):
    address_family = {family}
Server(({host!r}, {port}), Handler).serve_forever()
"""
SLEEPER = "import time; print('asleep', flush=True); time.sleep(600)"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "import time; print('asleep', flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
    "print(child.pid, flush=True); {then}"
)


def part(name: str, script: str, port: int = 1, host: str = "127.0.0.1") -> Part:
    address = Address(host, port)
    return Part(name, (sys.executable, "-c", script), address, "/", dict(os.environ))


def server(name: str, status: int = 200, body: str = "{}", host: str = "127.0.0.1") -> Part:
    port = free_port()
    family = int(socket.AF_INET6 if ":" in host else socket.AF_INET)
    script = SERVER.format(host=host, port=port, family=family, status=status, body=body)
    return part(name, script, port, host)


def first_line(log: Path) -> str:
    """A process's first line of output; waits for it."""
    deadline = threading.Event()
    for _ in range(1200):
        if log.exists() and "\n" in (text := log.read_text()):
            return text.splitlines()[0]
        deadline.wait(0.05)
    raise AssertionError(f"{log.name} stayed empty")


def wait_forever() -> None:
    """Until a signal handler raises; a hang ends as a failure."""
    threading.Event().wait(100)
    raise AssertionError("nothing woke the main thread")


def is_gone(pid: int) -> bool:
    """Whether it has ended; a kill takes a moment, and whether anyone reaps it is not ours."""
    for _ in range(1200):
        try:
            if psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
        except psutil.NoSuchProcess:
            return True
        threading.Event().wait(0.05)
    return False


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a process behind."""
    before = children()
    yield
    # A server that other tests share may start processes of its own at any time.
    assert [child for child in children() - before if parent(child) not in before] == []


def parent(child: psutil.Process) -> psutil.Process | None:
    try:
        return child.parent()
    except psutil.NoSuchProcess:
        return None


pytestmark = pytest.mark.usefixtures("nothing_left")


def test_leaving_ends_every_process_and_all_that_they_started(tmp_path: Path) -> None:
    parent = part("parent", PARENT.format(child=DEAF, then="child.wait()"))
    with Supervisor([parent, part("other", SLEEPER)], tmp_path):
        grandchild = int(first_line(tmp_path / "parent.log"))
        first_line(tmp_path / "other.log")
        assert psutil.pid_exists(grandchild)
    assert is_gone(grandchild)


def test_a_part_that_ends_is_named_with_its_code_and_last_words(tmp_path: Path) -> None:
    dying = part("llm", "print('loading'); print('no such file: model'); raise SystemExit(9)")
    with (
        pytest.raises(PartEnded, match=r"llm ended \(9\); its last words: no such file: model"),
        Supervisor([part("other", SLEEPER), dying], tmp_path),
    ):
        wait_forever()


def test_the_last_words_of_a_service_are_the_message_of_its_log_line(tmp_path: Path) -> None:
    line = '{"level": "error", "message": "the index was built by another model", "logger": "x"}'
    with (
        pytest.raises(PartEnded, match=r"its last words: the index was built by another model$"),
        Supervisor([part("retriever", f"print({line!r})")], tmp_path),
    ):
        wait_forever()


def test_a_part_that_is_killed_is_seen_while_its_child_holds_the_output(tmp_path: Path) -> None:
    then = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        pytest.raises(PartEnded, match="retriever was killed by signal 9"),
        Supervisor([part("retriever", PARENT.format(child=SLEEPER, then=then))], tmp_path),
    ):
        wait_forever()


@pytest.fixture
def hang_up_default() -> Iterator[None]:
    """SIGHUP as a terminal's programs have it, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_default")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, Supervisor([part("one", SLEEPER)], tmp_path):
        os.kill(os.getpid(), number)
        wait_forever()
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_while_processes_are_started_ends_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Running.start

    def start_and_interrupt(running: Running) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(running)

    monkeypatch.setattr(Running, "start", start_and_interrupt)
    with pytest.raises(Interrupted), Supervisor([part(n, SLEEPER) for n in "abc"], tmp_path):
        raise AssertionError("it was interrupted before")


@pytest.mark.usefixtures("hang_up_default")
def test_under_nohup_the_stack_outlives_its_terminal(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Supervisor([part("one", SLEEPER)], tmp_path):
        os.kill(os.getpid(), signal.SIGHUP)
        first_line(tmp_path / "one.log")


def test_a_second_signal_kills_what_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.supervisor.GRACE_SECONDS", 600.0)  # the test's limit is 100
    with pytest.raises(Interrupted), Supervisor([part("deaf", DEAF)], tmp_path):
        first_line(tmp_path / "deaf.log")
        second = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        second.start()
        os.kill(os.getpid(), signal.SIGINT)
        wait_forever()


def test_the_output_of_this_run_and_of_the_last_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        with (
            pytest.raises(PartEnded),
            Supervisor([part("llm", f"print({word!r})")], tmp_path),
        ):
            wait_forever()
    assert (tmp_path / "llm.log").read_text() == "third\n"
    assert (tmp_path / "llm.log.1").read_text() == "second\n"


def test_ready_parts_are_shown_and_one_that_is_not_says_why(tmp_path: Path) -> None:
    down = '{"status": "degraded", "parts": {"llm": {"state": "down", "detail": "still loading"}}}'
    wanted = [server("llm"), server("retriever", body=down)]
    out = Console(file=io.StringIO())
    with (
        Supervisor(wanted, tmp_path),
        httpx2.Client(trust_env=False) as http,
    ):
        while any(answer(http, one).startswith("no answer") for one in wanted):
            pass  # both listen soon, or pytest's timeout ends it
        with pytest.raises(NotReady, match="not ready after 0 s: retriever: llm: still loading"):
            await_ready(wanted, out, seconds=0)
    assert isinstance(out.file, io.StringIO)
    assert "✓ llm" in out.file.getvalue() and "✓ retriever" not in out.file.getvalue()


HOSTS = ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "::1", "::"]


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    """A host that a part may be told to listen on; each that this machine has."""
    told: str = request.param
    try:
        with socket.create_server((told, 0), family=family_of(told)):
            return told
    except OSError:
        pytest.skip(f"no {told} here")


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def test_a_part_is_asked_at_the_host_that_it_listens_on(tmp_path: Path, host: str) -> None:
    wanted = [server("retriever", host=host)]
    with Supervisor(wanted, tmp_path):
        await_ready(wanted, Console(file=io.StringIO()))


def test_a_port_is_taken_only_at_the_host_that_is_asked_for(host: str) -> None:
    with socket.create_server((host, 0), family=family_of(host)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} "):
            preflight.check_port(part("retriever", "", port, host))
        if host == "127.0.0.2":
            preflight.check_port(part("retriever", "", port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_of_this_machine_is_named(host: str) -> None:
    with pytest.raises(StackError, match=rf"^{host}, port 1 \(retriever\): "):
        preflight.check_port(part("retriever", "", 1, host))


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


def test_a_taken_port_is_named_with_the_process_that_has_it(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(PortTaken, match=rf"\(retriever\) is taken by .*\(pid {os.getpid()}\)"),
    ):
        preflight.check_port(part("retriever", "", taken.getsockname()[1]))


def test_a_taken_port_is_told_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    for wanted in (part for part in parts(State(tmp_path), {}) if part.address.port):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            environment = {
                name: str(port) if value == str(wanted.address.port) else value
                for name, value in wanted.environment.items()
            }
            moved = replace(wanted, address=Address("127.0.0.1", port), environment=environment)
            with pytest.raises(PortTaken) as refused:
                preflight.check_port(moved)
        variable = str(refused.value).rpartition("set ")[2]
        again = parts(State(tmp_path), {variable: "9999"})
        assert [one.name for one in again if one.address.port == 9999] == [wanted.name]


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


@pytest.mark.parametrize("told", ["0", "70000", "http"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, told: str) -> None:
    with pytest.raises(StackError, match="LLM_PORT is"):
        parts(State(tmp_path), {"LLM_PORT": told})


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What `stack.run` prints; its parts are two servers and its state a folder of the test."""
    kept = State(tmp_path / ".data")
    monkeypatch.setattr(stack, "state", lambda: kept)
    use(monkeypatch, [server("embedding"), server("retriever")])
    return io.StringIO()


def use(monkeypatch: pytest.MonkeyPatch, wanted: Sequence[Part]) -> None:
    monkeypatch.setattr(stack, "parts", lambda kept: list(wanted))


def interrupt(key: str) -> stack.Outcome:
    os.kill(os.getpid(), signal.SIGINT)
    wait_forever()
    raise AssertionError


def test_ctrl_c_is_a_good_end_once_the_stack_is_up(out: io.StringIO) -> None:
    def up(key: str) -> stack.Outcome:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return stack.Outcome()

    assert stack.run(up, Console(file=out)) == 0
    assert out.getvalue().endswith("Ended.\n")


def test_ctrl_c_in_the_middle_of_the_demo_is_not(out: io.StringIO) -> None:
    assert stack.run(interrupt, Console(file=out)) == 130


def test_the_exit_code_says_how_the_demo_went(out: io.StringIO) -> None:
    assert stack.run(lambda key: stack.Outcome(1, stays=False), Console(file=out)) == 1
    assert stack.run(lambda key: stack.Outcome(0, stays=False), Console(file=out)) == 0


def test_a_part_that_dies_under_a_running_stack_ends_it(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = server("llm")
    use(monkeypatch, [server("retriever"), dying])

    def kill_one(key: str) -> stack.Outcome:
        for child in psutil.Process().children():
            if str(dying.address.port) in " ".join(child.cmdline()):
                child.kill()
        return stack.Outcome()

    assert stack.run(kill_one, Console(file=out, width=200)) == 6
    assert "stack: llm was killed by signal 9; its last words: listening" in out.getvalue()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("available_memory", 4, "1.0 GiB of memory"), ("free_disk", 5, "1.0 GiB of disk")],
)
def test_too_little_memory_or_disk_has_its_own_line_and_code(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch, name: str, code: int, words: str
) -> None:
    monkeypatch.setattr(preflight, name, lambda *where: 2**30 - 1)
    assert stack.run(interrupt, Console(file=out)) == code
    assert words in out.getvalue()


def test_a_taken_port_has_its_own_code(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        use(monkeypatch, [part("llm", SLEEPER, taken.getsockname()[1])])
        assert stack.run(interrupt, Console(file=out, width=200)) == 3
    assert "(llm) is taken" in out.getvalue()


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
