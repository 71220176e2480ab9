"""Readers of further kinds of documents, or of a known kind, that other packages bring.

A package says `[project.entry-points."bulkhead.parsers"]` and gives a `Plugin`; `PARSER_PLUGINS`
names those that are used. A plug-in reads in the same process as our own readers, which is killed
when it takes too long or too much; what it gives is checked before anything else sees it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from bulkhead.plugins import load_plugin, names
from parser.model import Extracted, ParseError, Reading

GROUP = "bulkhead.parsers"
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")


@dataclass(frozen=True)
class Plugin:
    """One kind of document and how to read it.

    `extract(data, reading)` returns `Extracted`: the text, and where its pages begin in code
    points. It raises `ParseError` for a document that it cannot read.
    """

    media_type: str
    """What its documents are; with one that is read anyway, it reads in place of our reader."""
    extract: Callable[[bytes, Reading], Extracted]
    version: str
    """Of what it makes of the same bytes: documents are read anew where it is another."""
    extensions: tuple[str, ...] = ()
    """How files of a new kind end, as `.srt`."""
    markdown: bool = False
    """Whether the text's marks are Markdown's."""

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError(f"{self.media_type!r} is no media type in small letters")
        if bad := [one for one in self.extensions if one != one.lower() or one[:1] != "."]:
            raise ValueError(f"{bad[0]!r} is no extension in small letters, with its dot")

    def takes(self, filename: str, media_type: str | None) -> bool:
        """Whether a file is of this kind, by its name, else by what its sender says."""
        suffix = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
        if suffix in self.extensions:
            return True
        told = (media_type or "").partition(";")[0].strip().lower()
        return not suffix and told == self.media_type

    def read(self, data: bytes, reading: Reading) -> Extracted:
        """What it makes of a document. Raises `ParseError`, also for what cannot be."""
        try:
            found = self.extract(data, reading)
        except (ParseError, MemoryError):
            raise
        except Exception as error:
            raise self._wrong(f"broke off ({type(error).__name__})") from error
        if problem := _problem(found):
            raise self._wrong(problem)
        return found

    def _wrong(self, problem: str) -> ParseError:
        told = f"The plug-in that reads {self.media_type} {problem}: tell whoever keeps it."
        return ParseError("plugin", told)


def load(setting: str) -> tuple[Plugin, ...]:
    """The plug-ins that `PARSER_PLUGINS` names. Raises `ValueError`, in words for the operator."""
    found: dict[str, Plugin] = {}
    for name in names(setting):
        plugin = load_plugin(GROUP, name, Plugin)
        for one in (plugin.media_type, *plugin.extensions):
            if one in found:
                raise ValueError(f"two plug-ins read {one}")
            found[one] = plugin
    return tuple(dict.fromkeys(found.values()))


def versions(plugins: Iterable[Plugin]) -> str:
    """Which plug-ins decide what text a document gives."""
    return ",".join(sorted(f"{one.media_type}={one.version}" for one in plugins))


def _problem(found: object) -> str | None:
    """What is wrong with what a plug-in gave."""
    if not isinstance(found, Extracted) or not isinstance(found.text, str):
        return "gave no text"
    if _SURROGATE.search(found.text):
        return "gave half a character"
    if not (found.title is None or isinstance(found.title, str)):
        return "gave a title that is no text"
    pages = found.pages
    if not all(type(page) is int and 0 <= page <= len(found.text) for page in pages):
        return f"gave a page outside its text of {len(found.text)} characters"
    if any(before > after for before, after in pairwise(pages)):
        return "gave pages out of order"
    kinds = (str, int, float, bool)
    if not all(
        isinstance(key, str) and _KEY.fullmatch(key) and isinstance(value, kinds)
        for key, value in found.metadata.items()
    ):
        return "gave metadata that is none"
    return None
