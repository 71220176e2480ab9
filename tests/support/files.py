"""A root with files, and beside it what must never be seen; and the file tools over it."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tool_http import READER

from bulkhead.auth import Principal, Role
from mcp_filesystem.beneath import Opener, open_by_openat2
from mcp_filesystem.folder import Folders
from mcp_filesystem.settings import FilesystemSettings
from mcp_filesystem.tools import FileTools

CANARY = "canary-7f3a9c"
"""Stands in every file outside the root, in their names, and nowhere inside."""

OTHER = Principal("key-2", "other", frozenset(), Role.READER)
STRANGER = Principal("key-3", "stranger", frozenset(), Role.ADMIN)


class FileRig:
    """Folders below one temporary folder, and the tools over them, called without HTTP."""

    def __init__(self, folder: Path, opener: Opener = open_by_openat2, **settings: Any) -> None:
        self.root = folder / "root"
        self.outside = folder / "outside"
        self.tenants = folder / "tenants"
        for one in (self.root, self.outside, self.tenants / "other"):
            one.mkdir(parents=True)
        (self.outside / "secret.txt").write_text(CANARY)
        (self.outside / f"{CANARY}.txt").write_text(CANARY)
        (self.tenants / "other" / "theirs.txt").write_text("of the other tenant\n")
        self.settings = FilesystemSettings(
            root=self.root,
            tenants_root=self.tenants,
            signing_key_file=folder / "key",
            **settings,
        )
        self.folders = Folders(self.root, "default", self.tenants, opener)
        self.tools = {tool.name: tool for tool in FileTools(self.folders, self.settings).all()}

    def write(self, path: str, content: str | bytes = "text\n") -> Path:
        """A file below the root, with its folders."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    async def call(
        self, tool: str, principal: Principal = READER, /, **arguments: Any
    ) -> dict[str, Any]:
        """The result of a call, as the wire has it. Raises `ToolError`."""
        chosen = self.tools[tool]
        result: BaseModel = await chosen.run(principal, chosen.parse(arguments))
        found: dict[str, Any] = json.loads(result.model_dump_json())
        return found


def plant(rig: FileRig) -> None:
    """Everything in a root that is not a plain file or folder, and every way out of it."""
    rig.write("a.txt", "plain\n")
    rig.write("dir/b.txt", "below\n")
    links = {
        "link-inside": "a.txt",
        "link-dir-inside": "dir",
        "link-absolute": str(rig.outside / "secret.txt"),
        "link-relative": "../outside/secret.txt",
        "link-dir": str(rig.outside),
        "link-root": "/",
        "link-up": "..",
        "link-proc": "/proc/self/root",
        "link-fd": "/proc/self/fd/0",
        "link-environ": "/proc/self/environ",
        "link-loop": "link-loop",
        "link-dangling": "nowhere",
        "dir/link-up-two": "../../outside/secret.txt",
    }
    for name, target in links.items():
        (rig.root / name).symlink_to(target)
    os.link(rig.outside / "secret.txt", rig.root / "hard")
    os.mkfifo(rig.root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(rig.root, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
