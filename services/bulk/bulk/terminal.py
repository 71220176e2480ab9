"""What a run says of itself, on one line that is written anew, or on a line now and then."""

import sys
import time
from typing import TextIO

from bulk.run import Tally

_LINE_SECONDS = 10.0


class Terminal:
    """Says how far a run is, how fast it goes and when it may end."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._started = self._said = time.monotonic()

    def report(self, tally: Tally) -> None:
        """Say it, on a terminal each time and elsewhere every ten seconds."""
        now = time.monotonic()
        if self._live:
            self._stream.write(f"\r\x1b[K{self._line(tally, now)}")
        elif now - self._said >= _LINE_SECONDS:
            self._said = now
            self._stream.write(f"{self._line(tally, now)}\n")
        self._stream.flush()

    def end(self) -> None:
        """What is said from here on begins a line."""
        if self._live:
            self._stream.write("\r\x1b[K")

    def _line(self, tally: Tally, now: float) -> str:
        done = tally.documents
        rate = done / max(now - self._started, 0.001)
        of = f" of about {tally.expected:,}" if tally.expected else ""
        parts = [f"{done:,}{of} documents", f"{rate:.1f} a second"]
        if tally.expected and done:
            parts.append(f"{_duration(max(0, tally.expected - done) / rate)} left")
        if tally.counts["failed"]:
            parts.append(f"{tally.counts['failed']:,} failed")
        return ", ".join(parts)


def summary(tally: Tally, seconds: float) -> str:
    """What became of a run, on a line."""
    counts = tally.counts
    told = [f"{counts[one]:,} {one}" for one in ("added", "replaced", "unchanged", "failed")]
    if tally.removed:
        told.append(f"{tally.removed:,} removed")
    rate = tally.documents / max(seconds, 0.001)
    took = f"{_duration(seconds)}, {rate:.1f} a second"
    return f"{tally.documents:,} documents: {', '.join(told)}; {took}; job {tally.job_id}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
