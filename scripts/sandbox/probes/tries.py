"""Writes, fills and runs programs wherever a container's mounts would let somebody do so.

Runs in a container that has joined the other's processes, as root with the capabilities that
the other must not have, and enters the other's root: a read-only mount, or one without execution,
is so for whoever comes by it. Says of each attempt the name of its error, or `OK`.

    tries.py '{"own": true, "root": ROOT, "write": [PLACE…], "run": [PLACE…],
               "fill": {PLACE: BYTES}, "sockets": [PLACE…], "path": PATH}'

prints `{"target": …, "own": …}`; `own` is the same tried in this container, where all is open.
Each is told where it is asked for: `target` with a ROOT, which is `/` in the other itself.
Says too which tool of the other's, found by its PATH, could run a program in it.
"""

import errno
import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

Json = dict[str, Any]
OPEN = "/open"
"""A tmpfs of this container's own, without a wall."""
TOOLS = ("python3", "python", "sh")
_NAME = ".sandbox-probe"
_BLOCK = bytes(2**20)
_DEEPEST = 3


def outcome(attempt: Callable[[], None]) -> str:
    """How it ended: `OK`, or the name of its error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "OK"


def write(place: str) -> None:
    """Make a file in a folder, or give a file the mode that it has."""
    if Path(place).is_dir():
        path = Path(place, _NAME)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.unlink()
    else:  # to open it would tell of a program that runs before it tells of its mount
        Path(place).chmod(stat.S_IMODE(Path(place).stat().st_mode))


def run(place: str) -> None:
    """Run a file from a folder. It is no program: `ENOEXEC` means that it was let through."""
    path = Path(place, _NAME)
    path.write_bytes(bytes(4))
    try:
        path.chmod(0o700)
        os.execv(path, [_NAME])  # noqa: S606 - comes back, always
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    finally:
        path.unlink()


def fill(place: str, size: int) -> None:
    """Write more than `size` bytes into a folder."""
    path = Path(place, _NAME)
    try:
        with path.open("wb", buffering=0) as file:
            while file.tell() <= size:
                file.write(_BLOCK)
    finally:
        path.unlink(missing_ok=True)


def folders(root: str = "/") -> Iterator[str]:
    """The root and the folders in it that belong to it, and are no mounts."""
    device = Path(root).stat().st_dev
    for entry in (Path(root), *sorted(Path(root).iterdir())):
        facts = entry.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_dev == device:
            yield str(entry)


def writable(places: Iterable[str]) -> Iterator[str]:
    """Those that are a folder or a file: a device is written to whatever its mount says."""
    for place in places:
        if Path(place).is_dir() or Path(place).is_file():
            yield place


def sockets(places: Iterable[str]) -> Iterator[str]:
    """Every Unix socket at or below some places."""
    for place in places:
        if Path(place).is_socket():
            yield place
        for folder, names, files in os.walk(place):
            if folder.removeprefix(place).count("/") >= _DEEPEST:
                names.clear()
            yield from (f"{folder}/{name}" for name in files if Path(folder, name).is_socket())


def tries(write_to: list[str], run_in: list[str], fill_up: dict[str, int], look: list[str]) -> Json:
    """Every attempt below the present root."""
    places = dict.fromkeys([*folders(), *writable(write_to)])
    return {
        "write": {place: outcome(partial(write, place)) for place in places},
        "run": {place: outcome(partial(run, place)) for place in run_in},
        "fill": {place: outcome(partial(fill, place, size)) for place, size in fill_up.items()},
        "sockets": list(sockets(look)),
    }


def main() -> None:
    """Try this container, enter the other's root, and try that."""
    asked = json.loads(sys.argv[1])
    found: Json = {}
    if asked["own"]:
        bait = socket.socket(socket.AF_UNIX)
        bait.bind(f"{OPEN}/bait.sock")
        found["own"] = tries([], [OPEN], {OPEN: 2 * len(_BLOCK)}, [OPEN])
    if asked["root"]:
        os.chroot(asked["root"])
        os.chdir("/")
        target = tries(asked["write"], asked["run"], asked["fill"], asked["sockets"])
        # A file can be made and written here: a refusal elsewhere is the place's.
        target["control"] = {place: outcome(partial(write, place)) for place in asked["run"]}
        target["tool"] = next((one for one in TOOLS if shutil.which(one, path=asked["path"])), None)
        found["target"] = target
    print(json.dumps(found))


if __name__ == "__main__":
    main()
