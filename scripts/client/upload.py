"""A folder's documents, handed in: which of its files, in which requests, and how they fare."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from client.api import Busy, NotReachable, Retriever, RetrieverError
from client.screen import ingestion_bar, show_problems

# All that the parser reads (services/parser/parser/sniff.py) but pictures: in a folder they mostly
# belong to a page. One that is a document is handed in by itself.
KINDS = frozenset(
    {
        *(".md", ".markdown", ".txt", ".html", ".htm", ".xhtml", ".pdf", ".epub", ".eml"),
        *(".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".csv", ".tsv", ".ipynb"),
    }
)
# Below the retriever's limit of 64 MiB for a request body, with room for what frames the files.
BATCH_BYTES = 48 * 2**20
BATCH_FILES = 200


@dataclass(frozen=True)
class Found:
    """What a folder holds: files to hand in, and files of a kind that is not read."""

    files: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def find(folder: Path) -> Found:
    """The documents under `folder` in the order of their names; hidden files are not looked at."""
    found = Found()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(parent, name)
                kept = found.files if path.suffix.lower() in KINDS else found.skipped
                kept.append(path)
    return found


def batches(files: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    """The files in requests of at most BATCH_BYTES and BATCH_FILES; a larger file goes alone.

    Raises OSError where a file is gone.
    """
    batch: list[tuple[str, Path]] = []
    held = 0
    for name, path in files:
        size = path.stat().st_size
        if batch and (held + size > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, held = [], 0
        batch.append((name, path))
        held += size
    if batch:
        yield batch


def readable(
    files: Sequence[tuple[str, Path]],
) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """The files that can be opened, and for the others (name, why not)."""
    usable, problems = [], []
    for name, path in files:
        try:
            with path.open("rb"):
                usable.append((name, path))
        except OSError as error:
            problems.append((name, error.strerror or str(error)))
    return usable, problems


def ingest(
    retriever: Retriever,
    files: Sequence[tuple[str, Path]],
    console: Console,
    metadata: dict[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Hand in `files`, as (name to keep, where it is), and follow them until they are indexed.

    Gives (name, why) for each that failed; a request that is refused fails its files. Raises
    NotReachable where the retriever is gone, Busy where it asks to come back later.
    """
    usable, problems = readable(files)
    done = len(problems)
    chunks = 0
    with ingestion_bar(console) as bar:
        task = bar.add_task("ingesting", total=len(files), completed=done, chunks=0)
        for batch in batches(usable):
            try:
                job = accepted = retriever.upload(batch, metadata)
                for job in retriever.follow(accepted):
                    counts = job.counts
                    bar.update(task, completed=done + counts.done, chunks=chunks + counts.chunks)
                chunks += job.counts.chunks
                problems += [(e.source, e.message) for e in retriever.errors(job)]
            except (NotReachable, Busy):
                raise
            except RetrieverError as error:
                problems += [(name, str(error)) for name, _ in batch]
            done += len(batch)
            bar.update(task, completed=done, chunks=chunks)
    show_problems(problems, console)
    return problems
