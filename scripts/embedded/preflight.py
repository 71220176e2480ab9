"""What must hold before anything is started, so that a person reads the reason and not a trace."""

import errno
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bulkhead.settings import make_secret
from diagnosis.machine import GIB, available_memory, free_disk
from embedded.errors import PortTaken, StackError, TooLittleDisk, TooLittleMemory
from embedded.parts import Part, State

# The three processes hold 1.5 GiB after the demo; the rest is room for documents.
NEEDED_MEMORY = 2 * GIB
NEEDED_DISK = 1 * GIB


def check(parts: Sequence[Part], kept: State) -> None:
    """Raise a StackError where a port is taken or memory or disk is short."""
    for part in parts:
        if part.address.port:
            check_port(part)
    memory, disk = available_memory(), free_disk(kept.folder)
    if memory < NEEDED_MEMORY:
        raise TooLittleMemory(
            f"{memory / GIB:.1f} GiB of memory available; the stack needs {NEEDED_MEMORY // GIB}"
        )
    if disk < NEEDED_DISK:
        raise TooLittleDisk(
            f"{disk / GIB:.1f} GiB of disk free for {kept.folder.name}; the stack needs"
            f" {NEEDED_DISK // GIB}"
        )


def check_port(part: Part) -> None:
    """Raise PortTaken, with the process that holds the port where the system tells.

    Raises StackError where the part's host is no address of this machine.
    """
    host, port = part.address.host, part.address.port
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                # As the servers do it: a connection that is only winding down is no obstacle, and
                # an address of IPv6 is not one of IPv4 as well.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise StackError(f"{host}, port {port} ({part.name}): {error.strerror}") from error
        raise PortTaken(
            f"port {port} ({part.name}) is taken{_by_whom(port)};"
            f" end it, or set {_port_variable(part)}"
        ) from error


def _port_variable(part: Part) -> str:
    """The variable that moves a part to another port; it is among what the part is told."""
    told = [
        name
        for name, value in part.environment.items()
        if name.endswith("_PORT") and value == str(part.address.port)
    ]
    return told[0] if told else f"{part.name.upper()}_PORT"


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens_on = getattr(connection.laddr, "port", None)  # an empty tuple without one
            if connection.status != psutil.CONN_LISTEN or listens_on != port:
                continue
            if connection.pid is not None:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # not ours to see: the line does without
    return ""


def ensure_key(path: Path, prefix: str = "bh_") -> str:
    """The key in `path`, made on first use: 256 random bits that only the owner may read."""
    if not path.exists():
        with suppress(FileExistsError):
            make_secret(path, f"{prefix}{secrets.token_urlsafe(32)}\n")
    return read_key(path)


def read_key(path: Path) -> str:
    """The API key in `path`; StackError where others may read it or it holds none."""
    if path.stat().st_mode & 0o077:
        raise StackError(f"others may read {path.name}: run chmod 600 on it, or make a new one")
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise StackError(f"{path.name} is empty: remove it, and the next start makes a new one")
    return key
