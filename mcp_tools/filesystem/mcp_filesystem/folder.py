"""A tenant's folder: opens what lies in it, by descriptor, and says no in words a model can use."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkhead.auth import Principal
from bulkhead.mcp.tools import ToolError
from mcp_filesystem.beneath import Opener
from mcp_filesystem.paths import parse, show

_REASONS = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "does not exist: a part before its last is a file or a symbolic link",
    errno.ELOOP: "is a symbolic link or lies behind one; links are not followed",
    errno.EXDEV: "leads out of the root",
    errno.EACCES: "may not be read by this server",
    errno.EPERM: "may not be read by this server",
    errno.ENXIO: "is not a regular file",
    errno.ENAMETOOLONG: "has a name that is too long",
    errno.EMFILE: "cannot be opened now: too many files are open; try again",
}


class Folder:
    """An open folder. The descriptor that an `open_` method gives is what was checked: use it."""

    def __init__(self, descriptor: int, opener: Opener) -> None:
        self._descriptor = descriptor
        self._opener = opener

    @contextmanager
    def open_file(self, path: str) -> Iterator[int]:
        """A regular file with one name, open for reading. Raises `ToolError`.

        It is opened without blocking, so that a FIFO in its place holds up nobody.
        """
        with self._opened(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) as descriptor:
            refusal = unreadable(os.fstat(descriptor))
            if refusal:
                raise ToolError(f"'{show(parse(path))}' {refusal}")
            yield descriptor

    @contextmanager
    def open_folder(self, path: str) -> Iterator[int]:
        """A folder, open for listing. Raises `ToolError`."""
        with self._opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise ToolError(f"'{show(parse(path))}' is not a folder")
            yield descriptor

    @contextmanager
    def open_either(self, path: str) -> Iterator[int]:
        """A folder, or a regular file with one name, open for reading. Raises `ToolError`."""
        with self._opened(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) as descriptor:
            status = os.fstat(descriptor)
            if not stat.S_ISDIR(status.st_mode) and (refusal := unreadable(status)):
                raise ToolError(f"'{show(parse(path))}' {refusal}")
            yield descriptor

    def status(self, path: str) -> os.stat_result:
        """What the kernel knows about a file or folder, without opening it. Raises `ToolError`."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as descriptor:
            return os.fstat(descriptor)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        names = parse(path)
        try:
            descriptor = self._opener(self._descriptor, names, flags)
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, "cannot be opened")
            raise ToolError(f"'{show(names)}' {reason}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def unreadable(status: os.stat_result) -> str:
    """Why a file is not read, as the end of a sentence; empty where it may be."""
    if stat.S_ISDIR(status.st_mode):
        return "is a folder; list_directory shows what is in it"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_nlink > 1:
        return "has more than one name (hard link), and another may lie outside the root"
    return ""


class Folders:
    """The folder of each tenant: the root for one, and a folder of its own for each other."""

    def __init__(self, root: Path, tenant: str, tenants_root: Path | None, opener: Opener) -> None:
        """Raises `OSError` where a folder is missing and `ValueError` where one holds the other."""
        self._tenant = tenant
        self._opener = opener
        if tenants_root and (
            _holds(root.resolve(), tenants_root.resolve())
            or _holds(tenants_root.resolve(), root.resolve())
        ):
            raise ValueError("the root and the tenants' root must not hold each other")
        self._root = _open(root)
        self._tenants = None if tenants_root is None else _open(tenants_root)

    @contextmanager
    def of(self, principal: Principal) -> Iterator[Folder]:
        """The folder of the caller's tenant. Raises `ToolError` where it has none."""
        if principal.tenant == self._tenant:
            yield Folder(self._root, self._opener)
            return
        descriptor = self._open_tenants(principal.tenant)
        try:
            yield Folder(descriptor, self._opener)
        finally:
            os.close(descriptor)

    def _open_tenants(self, tenant: str) -> int:
        none = ToolError("there are no files for this caller")
        if self._tenants is None:
            raise none
        try:
            (name,) = parse(tenant)
            return self._opener(self._tenants, (name,), os.O_PATH | os.O_DIRECTORY)
        except (ToolError, ValueError, OSError) as error:
            raise none from error

    def readable(self) -> bool:
        """Whether the root can still be listed."""
        try:
            with Folder(self._root, self._opener).open_folder(".") as descriptor:
                return os.fstat(descriptor).st_nlink > 0
        except ToolError:
            return False

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._root)
        if self._tenants is not None:
            os.close(self._tenants)


def _open(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _holds(folder: Path, other: Path) -> bool:
    return folder == other or folder in other.parents
