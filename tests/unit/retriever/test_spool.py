"""A request's texts are kept all or not at all."""

import errno
import hashlib
import io
from pathlib import Path

import pytest

from bulkhead.errors import InvalidValue, TooLarge, Unavailable
from retriever.ingest.spool import Spool


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def read(spool: Spool, name: str) -> bytes:
    path, part = spool.place(name)
    start, size = part or (0, None)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


async def test_texts_are_kept_under_names_of_our_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100)
    kept = await spool.write_texts(["soup", "", "", "ünïcode"])
    assert [read(spool, name).decode() for name, _ in kept] == ["soup", "", "", "ünïcode"]
    assert kept[0][1] == hashlib.sha256(b"soup").hexdigest()
    assert len({name for name, _ in kept}) == 4


async def test_a_file_stays_until_all_its_texts_are_done_with(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100)
    (soup, _), (nothing, _), (bread, _) = await spool.write_texts(["soup", "", "bread"])
    ((other, _),) = await spool.write_texts(["other"])
    spool.remove([soup, soup])
    spool.remove([nothing])
    assert read(spool, bread) == b"bread"
    spool.remove([bread])
    assert [path.name for path in files(tmp_path)] == [spool.place(other)[0].name]
    spool.remove([bread, other])
    assert files(tmp_path) == []


async def test_a_new_process_knows_which_texts_still_wait(tmp_path: Path) -> None:
    before = Spool(tmp_path, 100)
    (soup, _), (bread, _) = await before.write_texts(["soup", "bread"])
    await before.write_texts(["lost"])
    (tmp_path / "whole").write_bytes(b"a file")
    (tmp_path / "stray").write_bytes(b"of nobody")
    before.remove([soup])
    spool = Spool(tmp_path, 100)
    spool.keep_only({bread, "whole"})
    assert (read(spool, bread), read(spool, "whole")) == (b"bread", b"a file")
    assert len(files(tmp_path)) == 2
    spool.remove([bread, "whole"])
    assert files(tmp_path) == []


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
    class Full(io.BytesIO):
        """A file whose texts go onto the disk in part."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().read(3)

    monkeypatch.setattr("retriever.ingest.spool.io.BytesIO", Full)
    with pytest.raises(Unavailable, match="No space left"):
        await Spool(tmp_path, 100).write_texts(["soup", "bread"])
    assert files(tmp_path) == []


async def test_what_a_read_only_disk_does_not_let_go_is_left_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 100)
    ((soup, _),) = await spool.write_texts(["soup"])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refuse)
        spool.remove([soup])
        spool.keep_only(set())
    assert len(files(tmp_path)) == 1
    spool.keep_only(set())
    assert files(tmp_path) == []
