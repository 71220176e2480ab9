"""How far a download is, as lines for a log: a bar that redraws itself is no use there."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from fetcher.model import Model
from fetcher.store import held


class Progress:
    """Says every few seconds how much of the model has come, from the bytes on disk."""

    def __init__(self, say: Callable[[str], None], seconds: float = 5.0) -> None:
        self._say = say
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, model: Model, folder: Path, total: int) -> None:
        """From now on tell how the folder grows."""
        started = held(folder)
        kept = f", {started / 1e9:.1f} GB are here" if started else ""
        self._say(f"fetching {model}: {total / 1e9:.2f} GB{kept}")
        self._thread = threading.Thread(target=self._tell, args=(folder, total), daemon=True)
        self._thread.start()

    def _tell(self, folder: Path, total: int) -> None:
        before, since = held(folder), time.monotonic()
        while not self._ended.wait(self._seconds):
            now, at = held(folder), time.monotonic()
            speed = max(0, now - before) / (at - since) / 1e6
            share = min(1.0, now / total) if total else 1.0
            self._say(f"{now / 1e9:.2f} of {total / 1e9:.2f} GB ({share:.0%}), {speed:.0f} MB/s")
            before, since = now, at
