"""Hosts and ports that parts listen on: asked there, and refused where they are taken or none."""

import io
import os
import socket
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from rich.console import Console
from small_parts import part, server

from embedded import preflight
from embedded.address import Address
from embedded.errors import NotReady, PortTaken, StackError
from embedded.parts import State, parts
from embedded.readiness import answer, await_ready
from embedded.supervisor import Supervisor


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


def test_a_taken_port_is_named_with_the_process_that_has_it(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(PortTaken, match=rf"\(retriever\) is taken by .*\(pid {os.getpid()}\)"),
    ):
        preflight.check_port(part("retriever", "", taken.getsockname()[1]))


def test_a_taken_port_is_told_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    for wanted in (one for one in parts(State(tmp_path), {}) if one.address.port):
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


@pytest.mark.parametrize("told", ["0", "70000", "http"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, told: str) -> None:
    with pytest.raises(StackError, match="LLM_PORT is"):
        parts(State(tmp_path), {"LLM_PORT": told})
