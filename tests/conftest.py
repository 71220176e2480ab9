"""What several folders of tests share."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from database import SampleDatabase, sample_database

# A busy machine is no finding: pytest's timeouts end what hangs.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def database() -> Iterator[SampleDatabase]:
    """A real PostgreSQL with the sample database, one for all tests."""
    with sample_database() as made:
        yield made


def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: one more than there are cores, for tests of processes mostly wait."""
    return (os.cpu_count() or 1) + 1
