"""How a run is going, in the terminal."""

from collections import Counter, deque
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from loading.outcome import Outcome

RECENT = 200


class Live:
    """A line that says what was sent, what is under way, and how long the last replies took.

    It is drawn twice a second: drawing takes time from sending.
    """

    def __init__(self, title: str, total: float | None) -> None:
        """`total` requests are expected; none where that is not known."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
        )
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, refresh_per_second=2)
        self._task = self._bar.add_task(title, total=total, said="")
        self._counts: Counter[str] = Counter()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._under_way = 0
        self._ended = 0

    def __enter__(self) -> "Live":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()
        self._bar.stop()

    def began(self, outcome: Outcome) -> None:
        """A request is being sent."""
        self._under_way += 1

    def ended(self, outcome: Outcome) -> None:
        """A request is over."""
        self._under_way -= 1
        self._ended += 1
        if outcome.error is None:
            self._recent.append(outcome.latency)
        else:
            self._counts[outcome.error] += 1
        if self._ended % 50 == 0 or self._under_way == 0:
            self._show()

    def _show(self) -> None:
        errors = ", ".join(f"{count} {name}" for name, count in self._counts.items())
        p50, p95 = np.percentile(self._recent, [50, 95]) * 1e3 if self._recent else (0.0, 0.0)
        said = f"{self._under_way} under way, lately p50 {p50:.0f} ms, p95 {p95:.0f} ms"
        said += f", failed: {errors}" if errors else ""
        self._bar.update(self._task, completed=self._ended, said=said)
