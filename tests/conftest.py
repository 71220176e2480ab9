"""What several folders of tests share."""

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest
from database import SampleDatabase, sample_database
from sqlalchemy import URL
from state import end_server, state

from bulkhead.proxies import spare

spare()  # the servers of tests are all on loopback
# Whom a shell starts in the background ignores Ctrl-C, and so does whatever a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is no finding: pytest's timeouts end what hangs.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_xdist_auto_num_workers() -> int:
    """Workers for `-n auto`: one more than cores, for tests wait as often as they compute."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def database() -> Iterator[SampleDatabase]:
    """A real PostgreSQL with the sample database, one for all tests."""
    with sample_database() as made:
        yield made


@pytest.fixture
def state_url() -> Iterator[URL]:
    """A database of the retriever's own, with its schema."""
    with state() as url:
        yield url


def pytest_unconfigure() -> None:
    """End the PostgreSQL that tests of the retriever's state share."""
    end_server()
