"""A corpus: a folder, a bucket or a file, wherever fsspec leads, and the pieces it is read in."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

Kind = Literal["files", "lines", "packed-lines", "parquet"]
DOCUMENTS = frozenset(
    {
        *(".md", ".markdown", ".txt", ".html", ".htm", ".xhtml", ".pdf", ".epub", ".eml"),
        *(".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".csv", ".tsv", ".ipynb"),
    }
)
"""Files that are a document each: those that `make ingest` takes out of a folder."""
LINES, PARQUET = frozenset({".jsonl", ".ndjson"}), frozenset({".parquet"})
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}
_PIECE_BYTES = 4 * 2**20
_PIECE_FILES = 64


class CorpusError(Exception):
    """A corpus that cannot be read at all, in words for whoever named it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the corpus: where it is, how it is called in it, and its bytes."""

    path: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one task reads: whole files, or of one file the bytes or the row group `start` to `end`.

    `first`: the number of the first row there, for Parquet.
    """

    kind: Kind
    files: tuple[File, ...]
    start: int = 0
    end: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All pieces of a corpus, what of it is not read, and how many documents it has."""

    pieces: list[Piece]
    unreadable: list[tuple[File, str]]
    """Files that cannot be opened, and why."""
    skipped: list[str]
    """Files of a kind that is not read."""
    documents: int | None
    """About so many; none where nobody can tell before it is read."""


class Corpus:
    """What `source` leads to."""

    def __init__(self, source: str, prefix: str = "") -> None:
        """Raises `CorpusError`; nothing is read yet."""
        if "\0" in source or not source.strip():
            raise CorpusError("the source is a folder, a file or a URL")
        if urlsplit(source).password:
            raise CorpusError("a password has no place in the source: give it as fsspec asks for")
        try:
            self.files, self.root = url_to_fs(source)
        except (ValueError, ImportError, OSError) as error:
            raise CorpusError(f"{source}: {error}") from error
        self.name = self.files.unstrip_protocol(self.root) + (f" as {prefix}" if prefix else "")
        """What it is known by from one run to the next."""
        self._prefix = prefix

    def plan(self) -> Plan:
        """Look at it, by names and heads of files. Raises `CorpusError`."""
        pieces: list[Piece] = []
        unreadable: list[tuple[File, str]] = []
        skipped: list[str] = []
        together: list[File] = []
        documents: int | None = 0

        def close() -> None:
            if together:
                pieces.append(Piece("files", tuple(together)))
                together.clear()

        for file in self._found():
            kind = _kind(file.name)
            if kind is None:
                skipped.append(file.name)
                continue
            number: int | None = 1
            if kind == "files":
                held = sum(one.size for one in together)
                if held + file.size > _PIECE_BYTES or len(together) == _PIECE_FILES:
                    close()
                together.append(file)
            else:
                try:
                    made, number = self._cut(kind, file)
                except Exception as error:  # whatever a damaged file makes a reader do
                    unreadable.append((file, words(error)))
                    continue
                pieces += made
            documents = None if number is None or documents is None else documents + number
        close()
        return Plan(pieces, unreadable, skipped, documents)

    def _cut(self, kind: Kind, file: File) -> tuple[list[Piece], int | None]:
        """The pieces of a file of many documents, and how many these are, if it can be told."""
        if kind == "parquet":
            with self.files.open(file.path, "rb") as opened:
                head = pq.ParquetFile(opened).metadata
            sizes = [head.row_group(n).num_rows for n in range(head.num_row_groups)]
            cut = [
                Piece(kind, (file,), n, n + 1, sum(sizes[:n])) for n in range(head.num_row_groups)
            ]
            return cut, head.num_rows
        if kind == "packed-lines":
            return [Piece(kind, (file,), 0, file.size)], None
        starts = range(0, file.size, _PIECE_BYTES)
        cut = [Piece(kind, (file,), at, min(at + _PIECE_BYTES, file.size)) for at in starts]
        sample = self.read(file, 0, min(file.size, 2**20))
        lines = sum(bool(line.strip()) for line in sample.split(b"\n"))
        return cut, max(1, round(lines * file.size / len(sample))) if sample else 0

    def read(self, file: File, start: int, end: int) -> bytes:
        """Bytes of a file. Raises what its file system does."""
        data = bytes(self.files.cat_file(file.path, start=start, end=end))
        # Some servers send all of it, whatever was asked for.
        return data if len(data) <= end - start else data[start:end]

    def open(self, file: File, compression: str | None = None) -> Any:
        """The file, to be read from its beginning."""
        return self.files.open(file.path, "rb", compression=compression)

    def _found(self) -> Iterator[File]:
        """Files in the order of their names; what is hidden is not looked at."""
        try:
            if self.files.isfile(self.root):
                info = self.files.info(self.root)
                yield self._file(self.root, PurePosixPath(self.root).name, info)
                return
            if not self.files.isdir(self.root):
                raise CorpusError(f"{self.name}: there is no such folder or file")
            if isinstance(self.files, LocalFileSystem):
                yield from self._local()
                return
            found: dict[str, Any] = self.files.find(self.root, detail=True)
        except OSError as error:
            raise CorpusError(f"{self.name}: {words(error)}") from error
        except CorpusError:
            raise
        except Exception as error:  # whatever a foreign file system raises
            raise CorpusError(f"{self.name}: {words(error)}") from error
        above = self.root.rstrip("/")
        for path, info in sorted(found.items()):
            name = path.removeprefix(above).lstrip("/")
            if name and not any(part.startswith(".") for part in name.split("/")):
                yield self._file(path, name, info)

    def _local(self) -> Iterator[File]:
        def fail(error: OSError) -> None:
            raise error

        for parent, folders, names in os.walk(self.root, onerror=fail):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                if name.startswith(".") or not path.is_file():
                    continue
                size = path.stat().st_size
                inside = path.relative_to(self.root).as_posix()
                yield File(str(path), self._prefix + inside, size)

    def _file(self, path: str, name: str, info: dict[str, Any]) -> File:
        return File(path, self._prefix + name, int(info.get("size") or 0))


def _kind(name: str) -> Kind | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in PACKED and len(suffixes) > 1 and suffixes[-2] in LINES:
        return "packed-lines"
    if last in LINES:
        return "lines"
    if last in PARQUET:
        return "parquet"
    return "files" if last in DOCUMENTS else None


def compression_of(name: str) -> str | None:
    """How a file is packed, as fsspec calls it."""
    return PACKED.get(PurePosixPath(name).suffix.lower())


def words(error: Exception) -> str:
    """Why, on one line."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(told.split())[:300] or type(error).__name__
