"""A filled place, a backup of one, and an empty place."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from filled_places import LOCK, Place, fill
from qdrant_server import serving_qdrant
from sqlalchemy import URL
from state import state

from backing_up.create import create
from retriever.database import Database


@pytest.fixture(params=["embedded", "server"])
async def place(
    tmp_path: Path, state_url: URL, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    """A filled place, with its index open as a retriever has it."""
    with serving_qdrant() as standin:
        place = Place(tmp_path / "a", state_url, standin if request.param == "server" else None)
        async with Database.open(place.url) as database, place.opened() as (_, vectors):
            await fill(database, vectors)
            yield place


@pytest.fixture
async def made(tmp_path: Path, state_url: URL) -> AsyncIterator[Path]:
    """A backup of an embedded place."""
    place = Place(tmp_path / "a", state_url)
    async with Database.open(place.url) as database, place.opened() as (_, vectors):
        await fill(database, vectors)
        await create(tmp_path / "backup", LOCK, place.settings)
    yield tmp_path / "backup"


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Place]:
    with state() as url:
        yield Place(tmp_path / "b", url)
