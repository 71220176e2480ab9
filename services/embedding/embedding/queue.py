"""What waits for a model, and what of it makes a good batch. Plain data: no thread, no loop."""

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedding.tokens import Tokens

Work = Literal["query", "document", "pair"]
Pair = tuple[str, str]
"""A query and a document."""
Row = npt.NDArray[np.float32]

OLD_SECONDS = 0.5
"""What has waited this long goes before all that is younger, whatever its kind and length."""

_number = count()
_place = attrgetter("place")


@dataclass(eq=False, slots=True)
class Item:
    """A text, or a query with a document, that waits for its row of numbers."""

    work: Work
    content: Tokens | Pair
    tokens: int
    since: float
    done: asyncio.Future[Row]
    waiting: bool = False
    place: tuple[int, int] = field(init=False)
    """By length, then by arrival; no two are alike."""

    def __post_init__(self) -> None:
        self.place = (self.tokens, next(_number))


class Queue:
    """Items by kind of work, each kind in order of length.

    Every call costs about as much as the items it is about, however many wait.
    """

    def __init__(self, works: Sequence[Work], batch_tokens: int, launch_tokens: int) -> None:
        """`works` come in this order; `batch_tokens` bounds items times the longest of them.

        `launch_tokens` bounds a batch's padding: running the model once more costs about as much
        as so many tokens, so what would bring more padding is better off in another batch.
        """
        self._batch_tokens = batch_tokens
        self._launch_tokens = launch_tokens
        self._by_length: dict[Work, list[Item]] = {work: [] for work in works}
        self._arrivals: deque[Item] = deque()
        self.tokens = 0
        """Tokens that wait."""

    def __len__(self) -> int:
        return sum(map(len, self._by_length.values()))

    def put(self, items: Iterable[Item]) -> None:
        """Let the items wait."""
        for item in items:
            item.waiting = True
            insort(self._by_length[item.work], item, key=_place)
            self._arrivals.append(item)
            self.tokens += item.tokens

    def drop(self, items: Iterable[Item]) -> None:
        """Forget those of the items that still wait."""
        for item in items:
            if item.waiting:
                alike = self._by_length[item.work]
                self._take(alike, bisect_left(alike, item.place, key=_place), 1)

    def next_batch(self, now: float) -> list[Item]:
        """The item whose turn it is with those nearest to it in length; empty when none waits.

        The turn is that of the oldest item once it is old, else that of the shortest of the first
        kind. A batch has one kind, and as many items as its budget of padded tokens holds.
        """
        while self._arrivals and not self._arrivals[0].waiting:
            self._arrivals.popleft()
        if not self._arrivals:
            return []
        first = self._arrivals[0]
        if now - first.since <= OLD_SECONDS:
            first = next(alike[0] for alike in self._by_length.values() if alike)
        alike = self._by_length[first.work]
        start = bisect_left(alike, first.place, key=_place)
        end, padding = start + 1, 0
        while (wider := self._wider(alike, first, start, end, padding)) is not None:
            start, end, padding = wider
        return self._take(alike, start, end - start)

    def _wider(
        self, alike: list[Item], first: Item, start: int, end: int, padding: int
    ) -> tuple[int, int, int] | None:
        """The span of a batch with the next nearest item, and the tokens of its padding.

        None when the batch is full, or the padding would cost more than another batch.
        """
        shorter = alike[start - 1].tokens if start else None
        longer = alike[end].tokens if end < len(alike) else None
        longest = alike[end - 1].tokens
        if longer is not None and (
            shorter is None or longer - first.tokens < first.tokens - shorter
        ):
            padding, longest = padding + (longer - longest) * (end - start), longer
            end += 1
        elif shorter is not None:
            padding += longest - shorter
            start -= 1
        else:
            return None
        fits = (end - start) * longest <= self._batch_tokens
        return (start, end, padding) if fits and padding <= self._launch_tokens else None

    def _take(self, alike: list[Item], start: int, number: int) -> list[Item]:
        taken = alike[start : start + number]
        del alike[start : start + number]
        for item in taken:
            item.waiting = False
            self.tokens -= item.tokens
        return taken
