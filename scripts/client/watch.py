"""Keeps the retriever in step with a folder: what is new, changed or gone in it.

Each pass looks at the whole folder and does what is left to do, so a pass that broke off is simply
made again. Documents handed in here carry the mark of their folder in their metadata, and nothing
without that mark is ever deleted.
"""

import hashlib
import platform
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text
from watchfiles import watch

from client.api import Busy, NotReachable, Retriever, RetrieverError
from client.screen import one_line
from client.upload import find, ingest

MARK = "watched_folder"
"""Metadata key that says which folder a document was kept in step with."""
QUIET_SECONDS = 0.5
"""A file is handed in when it was left alone for so long: half a file is no document."""
LONGEST_WAIT_SECONDS = 30.0
_LOOK_AGAIN_MS = 5000  # without a notice of change: one may be lost, as on a network drive

Stat = tuple[int, int]


class Mirror:
    """A folder and the documents that came from it."""

    def __init__(self, retriever: Retriever, folder: Path, prefix: str, console: Console) -> None:
        """`prefix` goes before a file's path in the folder; together they are its source."""
        self.folder = folder.resolve()
        self._retriever = retriever
        self._prefix = prefix
        self._console = console
        # Of this folder on this machine: another one of the same name has another mark.
        place = f"{platform.node()}:{self.folder}:{prefix}"
        self._mark = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._handed_in: dict[str, Stat] = {}
        self._compared = False

    def bring_in_step(self) -> bool:
        """One pass. False when a file was just being written or removed: then look again.

        Raises NotReachable and Busy; what was done until then is not done again.
        """
        if not self.folder.is_dir():
            raise RetrieverError(f"{self.folder} is gone; nothing was deleted")
        before = self._scan()
        new = {name for name, stat in before.items() if self._handed_in.get(name) != stat}
        if new:
            _wait(QUIET_SECONDS)
        after = self._scan() if new else before
        settled = {name: stat for name, stat in after.items() if before.get(name) == stat}
        changed = [name for name in sorted(new) if name in settled]
        if changed:
            files = [(self._prefix + name, self.folder / name) for name in changed]
            try:
                ingest(self._retriever, files, self._console, {MARK: self._mark})
            except OSError:
                return False  # a file went as it was to be read
            self._handed_in |= {name: settled[name] for name in changed}
        self._delete_gone(after)
        return len(settled) == len(after)

    def _delete_gone(self, files: dict[str, Stat]) -> None:
        gone = self._handed_in.keys() - files.keys()
        if self._compared and not gone:
            return
        if not files:  # an empty folder is more often a drive that is not there
            if gone:
                self._console.print("  the folder is empty: nothing is deleted")
            self._handed_in.clear()
            self._compared = False
            return
        sources = {self._prefix + name for name in files}
        for document in self._retriever.documents():
            if document.metadata.get(MARK) == self._mark and document.source not in sources:
                self._retriever.delete(document.id)
                self._console.print(Text(f"  deleted {one_line(document.source, 200)}"))
        for name in gone:
            del self._handed_in[name]
        self._compared = True

    def _scan(self) -> dict[str, Stat]:
        """Each document's path in the folder, with the time and size that tell a change."""
        found: dict[str, Stat] = {}
        for path in find(self.folder).files:
            try:
                stat = path.stat()
            except OSError:
                continue  # gone between the two looks, or a link to nowhere
            found[path.relative_to(self.folder).as_posix()] = (stat.st_mtime_ns, stat.st_size)
        return found


def keep_in_step(mirror: Mirror, console: Console) -> None:
    """Bring the retriever in step now and after every change, until KeyboardInterrupt."""
    while not patiently(mirror.bring_in_step, console):
        pass
    for _ in watch(
        mirror.folder, watch_filter=None, rust_timeout=_LOOK_AGAIN_MS, yield_on_timeout=True
    ):
        while not patiently(mirror.bring_in_step, console):
            pass


def patiently(call: Callable[[], bool], console: Console) -> bool:
    """What `call` gives, however often it must be tried: a retriever that is down comes back."""
    wait = QUIET_SECONDS
    while True:
        try:
            return call()
        except (NotReachable, Busy) as error:
            asked = error.retry_after if isinstance(error, Busy) else 0.0
            console.print(Text(f"  {one_line(str(error), 200)}: trying again"), style="yellow")
            _wait(max(wait, asked))
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)


def _wait(seconds: float) -> None:
    time.sleep(seconds)
