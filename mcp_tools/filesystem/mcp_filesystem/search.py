"""Finds text in files: literal words or RE2, line by line, with what stands around them."""

import os
import stat
from dataclasses import dataclass, field

from bulkhead.mcp.tools import ToolError
from mcp_filesystem.folder import unreadable
from mcp_filesystem.patterns import Pattern
from mcp_filesystem.text import decode, is_binary, read_whole
from mcp_filesystem.walk import Budget, Entry, walk

_BLOCK = 2**18
"""Bytes, and the rest of a line, that are searched between two looks at the clock."""
MAX_LINE = 400
"""Characters of a line that are shown; a longer one is cut around what was found."""


@dataclass(frozen=True)
class Found:
    """A line in which the pattern was found, numbered from 1."""

    names: tuple[str, ...]
    line: int
    text: str
    before: list[str]
    after: list[str]


@dataclass
class Search:
    """One search; `matches` grows until `most` are found or the budget is spent."""

    pattern: Pattern[bytes]
    context: int
    most: int
    max_file: int
    budget: Budget
    matches: list[Found] = field(default_factory=list)
    searched: int = 0
    skipped: int = 0
    """Files left out: binary, too large, hard-linked or not readable."""
    stopped: str = ""

    def run(self, descriptor: int, glob: Pattern[str]) -> None:
        """Search an open file, or every file below an open folder whose path fits the glob."""
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._file(descriptor, ())
        else:
            self._folder(descriptor, glob)
        self.stopped = self.stopped or self.budget.incomplete or ""

    def _folder(self, descriptor: int, glob: Pattern[str]) -> None:
        for entry in walk(descriptor, self.budget):
            if entry.kind == "file" and glob.fullmatch("/".join(entry.names)):
                self._entry(entry)
            if self.stopped or self.budget.spent:
                return

    def _entry(self, entry: Entry) -> None:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(entry.names[-1], flags, dir_fd=entry.parent)
        except OSError:
            self.skipped += 1
            return
        try:
            self._file(descriptor, entry.names)
        finally:
            os.close(descriptor)

    def _file(self, descriptor: int, names: tuple[str, ...]) -> None:
        status = os.fstat(descriptor)
        if unreadable(status):
            self.skipped += 1
            return
        if not self.budget.read(min(status.st_size, self.max_file)):
            return
        try:
            data = read_whole(descriptor, self.max_file)
        except (ToolError, OSError):
            self.skipped += 1
            return
        if is_binary(data):
            self.skipped += 1
            return
        self.searched += 1
        self._lines(data, names)

    def _lines(self, data: bytes, names: tuple[str, ...]) -> None:
        """Look through whole lines, block by block: between them the clock is looked at."""
        line, counted, position = 1, 0, 0
        while position <= len(data):
            stop = _line_end(data, position + _BLOCK)
            match = self.pattern.search(data, position, stop)
            if match is None:
                position = stop + 1
                if not self.budget.in_time():
                    return
                continue
            at = match.start()
            if at == len(data) and (not data or data.endswith(b"\n")):
                return  # an empty match behind the last line
            if len(self.matches) == self.most:
                self.stopped = f"more than {self.most} matches; narrow the pattern or the folder"
                return
            start = data.rfind(b"\n", 0, at) + 1
            line += data.count(b"\n", counted, start)
            counted = start
            end = _line_end(data, at)
            self.matches.append(
                Found(
                    names,
                    line,
                    _shown(data[start:end], at - start),
                    _before(data, start, self.context),
                    _after(data, end, self.context),
                )
            )
            position = end + 1


def _line_end(data: bytes, start: int) -> int:
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end


def _before(data: bytes, start: int, count: int) -> list[str]:
    lines: list[str] = []
    while count and start > 0:
        end, start = start - 1, data.rfind(b"\n", 0, start - 1) + 1
        lines.insert(0, _shown(data[start:end]))
        count -= 1
    return lines


def _after(data: bytes, end: int, count: int) -> list[str]:
    lines: list[str] = []
    while count and end + 1 < len(data):
        start, end = end + 1, _line_end(data, end + 1)
        lines.append(_shown(data[start:end]))
        count -= 1
    return lines


def _shown(line: bytes, at: int = 0) -> str:
    """A line as text; of a long one the part around byte `at`, with dots where it was cut."""
    start = max(0, min(at - MAX_LINE // 4, len(line) - MAX_LINE))
    part = line[start : start + MAX_LINE]
    text = decode(part)[0].rstrip("\r")
    return ("…" if start else "") + text + ("…" if start + MAX_LINE < len(line) else "")
