"""A test ends what it starts."""

from collections.abc import Iterator

import psutil
import pytest


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a process behind."""
    before = children()
    yield
    # A server that other tests share may start processes of its own at any time.
    assert [child for child in children() - before if parent(child) not in before] == []


def parent(child: psutil.Process) -> psutil.Process | None:
    try:
        return child.parent()
    except psutil.NoSuchProcess:
        return None
