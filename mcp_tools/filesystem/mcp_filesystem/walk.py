"""Walks a folder: in order, by descriptors, following no link, and never without end."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mcp_filesystem.paths import printable, show

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Kind = Literal["file", "directory", "link", "other"]


class Budget:
    """What one walk may use. `spent` says which limit was met, and stays empty until then."""

    def __init__(self, *, entries: int, depth: int, seconds: float, bytes_: int = 0) -> None:
        self.depth = depth
        self.spent = ""
        self._too_deep: tuple[str, ...] = ()
        self._entries, self._most_entries = 0, entries
        self._bytes, self._most_bytes = 0, bytes_
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def entry(self) -> bool:
        """Counts one entry; False when it is one too many or time is up."""
        self._entries += 1
        if self._entries > self._most_entries:
            self.spent = f"more than {self._most_entries} entries; name a smaller folder"
        return self.in_time()

    def in_time(self) -> bool:
        """Whether nothing is spent, time included."""
        if not self.spent and time.monotonic() > self._deadline:
            self.spent = f"longer than {self._seconds:g} s; name a smaller folder"
        return not self.spent

    def too_deep(self, names: tuple[str, ...]) -> None:
        """Notes a folder that is left out because it lies too deep."""
        self._too_deep = self._too_deep or names

    @property
    def incomplete(self) -> str | None:
        """What the walk did not see, in words; None where it saw all."""
        told = [self.spent] if self.spent else []
        if self._too_deep:
            first = show(self._too_deep)
            told.append(f"folders deeper than {self.depth} are left out, first {first}; name one")
        return "; ".join(told) or None

    def read(self, count: int) -> bool:
        """Counts bytes that are to be read; False when they are too many."""
        self._bytes += count
        if self._bytes > self._most_bytes:
            self.spent = f"more than {self._most_bytes} bytes to search; name a smaller folder"
        return not self.spent


@dataclass(frozen=True)
class Entry:
    """One name in a folder, with what `lstat` says of it: a link is a link."""

    parent: int
    """Descriptor of the folder it is in, open while the walk stands at this entry."""
    names: tuple[str, ...]
    """Below where the walk began."""
    status: os.stat_result

    @property
    def kind(self) -> Kind:
        """What it is."""
        return kind(self.status)


def kind(status: os.stat_result) -> Kind:
    """What a status is the status of."""
    if stat.S_ISREG(status.st_mode):
        return "file"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "link" if stat.S_ISLNK(status.st_mode) else "other"


def entries(folder: int, budget: Budget, names: tuple[str, ...] = ()) -> Iterator[Entry]:
    """What is in one open folder, by name. Names that a caller could not write are left out.

    A name that is gone before it is looked at is left out, too.
    """
    found: list[str] = []
    with os.scandir(folder) as listing:
        for one in listing:
            if not budget.entry():
                break
            if _speakable(one.name):
                found.append(one.name)
    for name in sorted(found):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        yield Entry(folder, (*names, name), status)


def walk(folder: int, budget: Budget) -> Iterator[Entry]:
    """Everything below an open folder, in order, each folder before what it holds."""
    pending = [entries(folder, budget)]
    descriptors: list[int] = []
    try:
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                if descriptors:
                    os.close(descriptors.pop())
                continue
            yield entry
            if budget.spent or entry.kind != "directory":
                continue
            if len(entry.names) >= budget.depth:
                budget.too_deep(entry.names)
                continue
            try:
                below = os.open(entry.names[-1], _FOLDER, dir_fd=entry.parent)
            except OSError:
                continue
            descriptors.append(below)
            pending.append(entries(below, budget, entry.names))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _speakable(name: str) -> bool:
    return printable(name) and "\\" not in name
