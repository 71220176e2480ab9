"""Uploads in the database: as they were, and no larger in memory than they are."""

import io
import os
import tracemalloc

import pytest
from sqlalchemy import URL
from starlette.datastructures import UploadFile

from retriever.database import Database
from retriever.ingest.uploads import Uploads

MIB = 2**20


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 3 * MIB + 17])
async def test_an_upload_of_any_size_comes_back_as_it_was_until_it_is_removed(
    state_url: URL, size: int
) -> None:
    data = os.urandom(size)
    async with Database.open(state_url) as database:
        uploads = Uploads(database, 10 * MIB)
        name, _ = await uploads.write_upload(UploadFile(io.BytesIO(data), size=size))
        assert await uploads.read(name) == data
        await uploads.remove([name])
        assert await uploads.read(name) is None


async def test_who_reads_a_large_upload_holds_it_once(state_url: URL) -> None:
    size = 16 * MIB
    async with Database.open(state_url) as database:
        uploads = Uploads(database, size)
        name, _ = await uploads.write_upload(UploadFile(io.BytesIO(os.urandom(size)), size=size))
        tracemalloc.start()
        try:
            data = await uploads.read(name)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert data is not None and len(data) == size
        assert most < 1.7 * size, most / size
