"""Somebody else's stdio server behind the bridge, as one set of changes."""

import json
import re
import shlex
from pathlib import Path

from generator.edit import Unplaced, add_item, add_key
from generator.server import (
    LISTS,
    PLAN,
    STANDIN,
    CannotMake,
    Changes,
    NewServer,
    check_free,
    check_name,
    filled,
    with_entry,
    with_user,
)

USER = 10014
"""Of every bridge: the retriever is in its group, and each socket lies in a volume of its own."""
_PINNED = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9][A-Za-z0-9.+!_-]*"
)


def planned_bridge(
    root: Path, name: str, requirement: str, command: str
) -> tuple[NewServer, Changes]:
    """The server `name`, of the package `requirement`, run by `command`, and what has to change.

    Raises `CannotMake` as `planned` does, and for a package without a version or no command.
    """
    check_name(name)
    if not _PINNED.fullmatch(requirement):
        raise CannotMake(f"{requirement!a} is no package with a version, as name==1.2.3")
    server = NewServer(name, 0, USER)
    check_free(root, server)
    quoted = json.dumps(_argv(command)).replace("'", "''")
    words = {
        "name": name,
        "part": server.part,
        "user": str(USER),
        "requirement": requirement,
        "words": quoted,
        "command": quoted.replace("$", "$$"),
    }
    folder = server.folder
    changes = {
        f"{folder}/README.md": filled("bridge.README.md", words),
        f"{folder}/values.yaml": filled("bridge.values.yaml", words),
        f"{folder}/requirements.in": f"{requirement}\n",
    }
    try:
        text = (root / "compose.yaml").read_text(encoding="utf-8")
        changes["compose.yaml"] = _composed(text, server, filled("bridge.compose.yaml", words))
        entry = (
            f"url: http://localhost/mcp\n  socket: /run/{server.part}/mcp.sock\n"
            f"  auth: {{type: signed, key_file: /run/secrets/{server.part}-signing-key}}"
        )
        told = {
            path: (root / path).read_text(encoding="utf-8") for path in (LISTS[0], PLAN, STANDIN)
        }
        changes[LISTS[0]] = with_entry(told[LISTS[0]], name, entry)
        changes[PLAN] = with_user(told[PLAN], server)
        changes[STANDIN] = add_key(
            told[STANDIN],
            ["services"],
            f"{server.part}: {{build: {{args: *python}}}}",
            after="mcp-database",
        )
    except Unplaced as error:
        raise CannotMake(f"a file is not as it must be: {error}") from error
    return server, changes


def _argv(command: str) -> list[str]:
    """The command's words; its program is one of the package's where it names no folder."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CannotMake(f"the command cannot be read: {error}") from error
    if not words:
        raise CannotMake("the command is empty")
    program = words[0] if "/" in words[0] else f"/server/bin/{words[0]}"
    return [program, *words[1:]]


def _composed(text: str, server: NewServer, service: str) -> str:
    """compose.yaml with the bridge's service, its socket and its secret."""
    part = server.part
    block = "\n".join(line.removeprefix("  ") for line in service.splitlines())
    text = add_key(text, ["services"], block, after="mcp-database")
    text = add_item(text, ["services", "secrets", "volumes"], f"{part}-secrets:/volumes/{part}")
    socket = f"{part}-socket:/run/{part}:ro,nocopy"
    text = add_item(text, ["services", "retriever", "volumes"], socket)
    options = f"size=64k,uid={USER},gid={USER},mode=0750,noexec,nosuid,nodev"
    volume = f'{part}-socket:\n  driver_opts: {{type: tmpfs, device: tmpfs, o: "{options}"}}'
    text = add_key(text, ["volumes"], f"{part}-secrets: {{}}")
    return add_key(text, ["volumes"], volume)
