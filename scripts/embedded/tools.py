"""What the tool servers need before they start: keys, a token each for people, files to read."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bulkhead.auth import Principal, Role
from bulkhead.tool_tokens import mint
from embedded.parts import ROOT, State
from embedded.preflight import ensure_key
from embedded.tool_list import own_servers, tool_list

FILES = ("docs", "examples/documents")
"""The folders of the repository whose files the demo asks about."""
TOKEN_SECONDS = 7 * 24 * 3600
"""How long a person's token lives; each start of the stack makes a new one."""

_PERSON = Principal("mcp-client", "default", frozenset(), Role.READER)


def prepare(kept: State, environment: Mapping[str, str] = os.environ) -> None:
    """Make what is missing: signing keys, the files; and new tokens and the list of servers.

    Only the owner may read it.
    """
    for server in (one.part for one in own_servers(environment)):
        key = ensure_key(kept.signing_key(server), prefix="")
        _write_secret(kept.token(server), mint(key.encode(), server, _PERSON, TOKEN_SECONDS))
    _write_secret(kept.tool_servers, tool_list(environment))
    for folder in FILES:
        for path in sorted((ROOT / folder).iterdir()):
            copy = kept.files / folder / path.name
            if path.is_file() and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def _write_secret(path: Path, text: str) -> None:
    """Put `text` in the place of `path` at once, for the owner's eyes."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{text.strip()}\n")
    new.replace(path)
