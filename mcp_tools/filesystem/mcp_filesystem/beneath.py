"""Opens names below a folder that is already open, and nothing else, by the kernel's own check.

`openat2` resolves the whole path in one call with the rule that it stays beneath the folder and
follows no link. Where the kernel lacks it (before Linux 5.6, or behind a filter), each name is
opened from the folder before it with `O_NOFOLLOW`. Both follow no symbolic link at all: a link
that stays inside today can be pointed outside tomorrow, and the two ways must not differ.
"""

import ctypes
import errno
import os
from collections.abc import Callable

Opener = Callable[[int, tuple[str, ...], int], int]
"""Takes a folder's descriptor, names below it and flags; gives a descriptor or raises OSError."""

_SYS_OPENAT2 = 437  # the same number on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_RETRIES = 16

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_by_openat2(folder: int, names: tuple[str, ...], flags: int) -> int:
    """Opens with one `openat2` that stays beneath `folder`. Raises `OSError`."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    path = "/".join(names).encode() or b"."
    for _ in range(_RETRIES):
        opened: int = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if opened >= 0:
            return opened
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: a rename got between
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def open_by_walk(folder: int, names: tuple[str, ...], flags: int) -> int:
    """Opens name by name, each from the folder before it, following no link. Raises `OSError`."""
    if not names:
        return os.open(".", flags | os.O_CLOEXEC, dir_fd=folder)
    here = os.dup(folder)
    try:
        for name in names[:-1]:
            _refuse_dots(name)
            below = os.open(
                name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
            )
            os.close(here)
            here = below
        _refuse_dots(names[-1])
        return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)


def _refuse_dots(name: str) -> None:
    if name in ("", ".", "..") or "/" in name:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def best_opener() -> Opener:
    """`openat2` where the kernel has it, or else the walk."""
    try:
        folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.close(open_by_openat2(folder, (), os.O_PATH))
        finally:
            os.close(folder)
    except OSError:
        return open_by_walk
    return open_by_openat2
