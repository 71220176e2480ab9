"""A retriever that may call the tools of a desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk, Office, desk_serving, write_policy

from retriever.settings import RetrieverSettings


@pytest.fixture
def desk() -> Desk:
    return Desk(notes={"plan": "The harbour opens at seven.\nThe ferry leaves from pier 9."})


@pytest.fixture
def office(desk: Desk, tmp_path: Path) -> Iterator[Office]:
    with desk_serving(desk, tmp_path) as office:
        yield office


@pytest.fixture
def settings(settings: RetrieverSettings, office: Office, tmp_path: Path) -> RetrieverSettings:
    policy = write_policy(tmp_path, office.desk.definitions())
    told = settings.model_dump() | {
        "tool_policy_file": policy,
        "tool_servers_file": office.listed(),
    }
    return RetrieverSettings.model_validate(told)
