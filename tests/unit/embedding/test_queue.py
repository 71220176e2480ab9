"""The queue alone: what makes a batch, in which order, and what it costs to wait in it."""

import asyncio
import math
import random
import time
from collections.abc import Iterator

import pytest

from embedding.queue import OLD_SECONDS, Item, Queue, Work

BUDGET, LAUNCH = 256, 32


@pytest.fixture
def queue() -> Queue:
    """Pairs are not padded, the rest is."""
    return Queue(("query", "document", "pair"), BUDGET, LAUNCH, pads=("query", "document"))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Put:
    """Puts items of given lengths into the queue."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self._queue, self._loop = queue, loop

    def __call__(self, *lengths: int, work: Work = "document", since: float = 0.0) -> list[Item]:
        items = [Item(work, ("", ""), n, since, self._loop.create_future()) for n in lengths]
        self._queue.put(items)
        return items


@pytest.fixture
def put(queue: Queue, loop: asyncio.AbstractEventLoop) -> Put:
    return Put(queue, loop)


def lengths(batch: list[Item]) -> list[int]:
    return [item.tokens for item in batch]


def drained(queue: Queue, now: float = 0.0) -> list[list[int]]:
    batches = []
    while batch := queue.next_batch(now):
        batches.append(lengths(batch))
    return batches


def test_an_empty_queue_has_no_batch(queue: Queue) -> None:
    assert queue.next_batch(0) == []


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [
        ([5, 100, 5, 5], [[5, 5, 5], [100]]),  # 285 tokens of padding would cost more than a launch
        ([100, 110, 30], [[30], [100, 110]]),
        ([10, 20, 26], [[10, 20, 26]]),  # the padding of 22 tokens costs less than a launch
        ([10, 30, 50], [[10, 30], [50]]),  # 20 for the second, and 40 more for the third
        ([128, 128, 128], [[128, 128], [128]]),  # two fill the budget
        ([300], [[300]]),  # more than the budget, alone
        ([256, 1], [[1], [256]]),
    ],
)
def test_a_batch_is_flat_and_within_its_budget(
    queue: Queue, put: Put, waiting: list[int], batches: list[list[int]]
) -> None:
    put(*waiting)
    assert drained(queue) == batches


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [
        ([5, 100, 5, 5], [[5, 5, 5, 100]]),
        ([100, 110, 30], [[30, 100, 110]]),
        ([200, 10, 60], [[10, 60], [200]]),  # 270 tokens are more than the budget
        ([256, 1], [[1], [256]]),
        ([255, 1], [[1, 255]]),
        ([300], [[300]]),
    ],
)
def test_a_batch_without_padding_mixes_lengths_within_its_budget(
    queue: Queue, put: Put, waiting: list[int], batches: list[list[int]]
) -> None:
    put(*waiting, work="pair")
    assert drained(queue) == batches


def test_what_padding_takes_fills_a_batch_too(queue: Queue, put: Put) -> None:
    put(64, 64 - 4)
    assert queue.fill(queue.next_batch(0.0)) == 128 / BUDGET
    put(64, 64 - 4, work="pair")
    assert queue.fill(queue.next_batch(0.0)) == 124 / BUDGET
    put(1000)
    assert queue.fill(queue.next_batch(0.0)) == 1


def test_queries_go_before_documents_and_documents_before_pairs(queue: Queue, put: Put) -> None:
    put(1, work="pair")
    put(5, work="document")
    put(9, work="query")
    assert drained(queue) == [[9], [5], [1]]


@pytest.mark.parametrize("work", ["document", "query"])
def test_what_is_old_goes_first_whatever_its_length_and_kind(
    queue: Queue, put: Put, work: Work
) -> None:
    put(200, work="pair", since=0.0)
    put(2, 3, work=work, since=0.4)
    assert lengths(queue.next_batch(OLD_SECONDS + 0.05)) == [200]
    assert lengths(queue.next_batch(OLD_SECONDS + 0.05)) == [2, 3]


def test_no_item_is_lost_or_taken_twice(queue: Queue, put: Put) -> None:
    rng = random.Random(7)
    items = [
        item
        for n in range(300)
        for item in put(rng.randint(1, 300), work=rng.choice(["query", "document"]), since=n / 100)
    ]
    dropped = set(map(id, rng.sample(items, 60)))
    queue.drop([item for item in items if id(item) in dropped])
    taken: list[Item] = []
    now = 0.0
    while batch := queue.next_batch(now := now + 0.02):
        assert len({item.work for item in batch}) == 1
        padded = max(lengths(batch)) * len(batch)
        assert len(batch) == 1 or padded <= BUDGET
        assert padded - sum(lengths(batch)) <= LAUNCH
        taken += batch
    assert sorted(map(id, taken)) == sorted(set(map(id, items)) - dropped)
    assert (len(queue), queue.tokens) == (0, 0)


def test_dropping_twice_or_after_the_batch_is_taken_changes_nothing(queue: Queue, put: Put) -> None:
    (item,) = put(3)
    queue.drop([item])
    queue.drop([item])
    put(4)
    batch = queue.next_batch(math.inf)
    queue.drop(batch)
    assert (len(queue), queue.tokens) == (0, 0)


def test_a_batch_costs_no_more_when_many_wait(queue: Queue, put: Put) -> None:
    rng = random.Random(1)

    def cost(waiting: int) -> float:
        put(*(rng.randint(1, 250) for _ in range(waiting)))
        spent = []
        for _ in range(50):
            started = time.thread_time()
            queue.next_batch(0.0)
            spent.append(time.thread_time() - started)
        return sorted(spent)[25]

    few, many = cost(500), cost(20_000)
    assert many < 10 * few + 1e-3
