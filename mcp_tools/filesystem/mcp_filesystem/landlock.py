"""A second wall: Landlock, by which the process gives up every file but those it must read.

It holds for all that the process opens, by whatever way, until it ends; no code can undo it.
"""

import ctypes
import errno
import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import bulkhead

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file rights each version knows; they are numbered from 0. Later ones add none."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0 where it has none or it is off."""
    found: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    return max(found, 0)


def restrict(readable: Iterable[Path]) -> bool:
    """From now on this thread, and every thread it starts, may only read, and only below these.

    False where the kernel has no Landlock. Raises `OSError` where it has and it does not work.
    """
    known = version()
    if not known:
        return False
    rights = (1 << _RIGHTS_BY_VERSION.get(known, 16)) - 1
    rules = _Ruleset(rights)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(8), 0))
    try:
        for path in readable:
            folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                rule = _PathBeneath(_READ_FILE | _READ_DIR, folder)
                _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
            finally:
                os.close(folder)
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def python_folders() -> set[Path]:
    """Where Python and this project's code lie: modules are still loaded later, and read."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = {Path(sysconfig.get_path(name)) for name in names}
    return installed | {Path(__file__).parent, Path(bulkhead.__file__).parent}


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EINVAL
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
