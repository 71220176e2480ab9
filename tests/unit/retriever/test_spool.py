"""A request's texts are kept all or not at all."""

import hashlib
from pathlib import Path
from typing import BinaryIO

import pytest

from bulkhead.errors import InvalidValue, TooLarge, Unavailable
from retriever.ingest.spool import Spool


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_texts_are_kept_under_names_of_our_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100)
    kept = await spool.write_texts(["soup", "ünïcode"])
    assert [spool.path(name).read_text("utf-8") for name, _ in kept] == ["soup", "ünïcode"]
    assert kept[0][1] == hashlib.sha256(b"soup").hexdigest()


@pytest.mark.parametrize(("text", "error"), [("x" * 101, TooLarge), ("\ud800", InvalidValue)])
async def test_one_that_cannot_be_kept_keeps_none(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await Spool(tmp_path, 100).write_texts(["soup", text])
    assert files(tmp_path) == []


async def test_a_full_disk_amid_them_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Spool._copy

    def full(spool: Spool, file: BinaryIO) -> tuple[str, str]:
        if files(tmp_path):
            raise Unavailable("storage", "the upload cannot be kept: No space left on device")
        return copy(spool, file)

    monkeypatch.setattr(Spool, "_copy", full)
    with pytest.raises(Unavailable):
        await Spool(tmp_path, 100).write_texts(["soup", "bread"])
    assert files(tmp_path) == []
