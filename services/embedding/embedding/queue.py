"""What waits for a model, and what of it makes a good batch. Plain data: no thread, no loop."""

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Iterable, Sequence
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

    def __init__(
        self,
        works: Sequence[Work],
        batch_tokens: int,
        launch_tokens: int,
        pads: Collection[Work],
    ) -> None:
        """`works` come in this order; `batch_tokens` bounds a batch's tokens with their padding.

        Of the work that `pads`, each item of a batch is padded to the longest. `launch_tokens`
        bounds that: running the model once more costs about as much as so many tokens, so what
        would bring more padding is better off in another batch.
        """
        self._pads = pads
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
        end, tokens, padding = start + 1, first.tokens, 0
        while (near := _nearest(alike, first.tokens, start, end)) is not None:
            tokens += alike[near].tokens
            if first.work in self._pads:
                longest = alike[max(near, end - 1)].tokens
                padding = longest * (end - start + 1) - tokens
            if tokens + padding > self._batch_tokens or padding > self._launch_tokens:
                break
            start, end = min(near, start), max(near + 1, end)
        return self._take(alike, start, end - start)

    def fill(self, batch: Sequence[Item]) -> float:
        """The tokens of a batch with their padding, as a share of what it may hold; at most 1."""
        tokens = [item.tokens for item in batch]
        padded = max(tokens) * len(tokens) if batch[0].work in self._pads else sum(tokens)
        return min(padded / self._batch_tokens, 1.0)

    def _take(self, alike: list[Item], start: int, number: int) -> list[Item]:
        taken = alike[start : start + number]
        del alike[start : start + number]
        for item in taken:
            item.waiting = False
            self.tokens -= item.tokens
        return taken


def _nearest(alike: list[Item], tokens: int, start: int, end: int) -> int | None:
    """Which item beside that span is nearest in length to `tokens`; none where there is none."""
    shorter = tokens - alike[start - 1].tokens if start else None
    longer = alike[end].tokens - tokens if end < len(alike) else None
    if longer is not None and (shorter is None or longer < shorter):
        return end
    return None if shorter is None else start - 1
