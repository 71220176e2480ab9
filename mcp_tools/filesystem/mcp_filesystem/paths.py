"""The path gate: what a caller wrote becomes names below the root, or is refused.

The gate gives clear refusals; that nothing outside the root is opened is the kernel's work
(`beneath.py`), whatever passes here.
"""

import unicodedata

from bulkhead.mcp.tools import ToolError

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
MAX_DEPTH = 64

_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories that show nothing or steer the text around them."""


def parse(path: str) -> tuple[str, ...]:
    """The names in a relative path; () is the root itself. Raises `ToolError` for anything else.

    There is no decoding: `%2e` is three characters, `~` and `$HOME` are names.
    """
    if not path:
        raise ToolError("the path is empty; '.' is the root")
    if not printable(path):
        raise ToolError("the path holds control or invisible characters; none are taken")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ToolError(f"the path is longer than {MAX_PATH_BYTES} bytes")
    if path.startswith("/"):
        raise ToolError("the path is absolute; give it relative to the root, without the first '/'")
    if "\\" in path:
        raise ToolError("the path holds a backslash; separate names with '/'")
    names = tuple(name for name in path.split("/") if name not in ("", "."))
    if ".." in names:
        raise ToolError("the path holds '..'; name the way down from the root")
    if any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        raise ToolError(f"a name in the path is longer than {MAX_NAME_BYTES} bytes")
    if len(names) > MAX_DEPTH:
        raise ToolError(f"the path is deeper than {MAX_DEPTH} folders")
    return names


def printable(text: str) -> bool:
    """Whether every character of a path or a name shows itself."""
    return not any(unicodedata.category(character) in _INVISIBLE for character in text)


def show(names: tuple[str, ...]) -> str:
    """The path as a caller writes it."""
    return "/".join(names) or "."
