"""Secrets on disk: a master of each that only the maker sees, and a copy for whoever reads it."""

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from secrets_maker.plan import Secret


def make(
    plan: Iterable[Secret],
    masters: Path,
    volumes: Path,
    own: Callable[[int, int, int], None] = os.fchown,
) -> list[str]:
    """Make what is missing, and write every copy anew from its master; the names made now.

    A lost or changed copy is mended so; a secret never changes while its master is there.
    `volumes` holds a folder for each service; `own(handle, uid, gid)` hands a file over.
    Raises `OSError`.
    """
    made, values = [], {}
    plan = tuple(plan)
    for secret in plan:
        master = masters / secret.name
        if not (master.is_file() and master.stat().st_size):
            _write(master, new_value(secret), os.getuid(), own)
            made.append(secret.name)
        values[secret.name] = master.read_text(encoding="ascii")
    for secret in plan:
        for copy in secret.copies:
            text = copy.template.format(secret=values[secret.name], all=values)
            _write(volumes / copy.service / copy.file, text, copy.uid, own)
    return made


def new_value(secret: Secret) -> str:
    """256 random bits as text, with the secret's prefix."""
    return secret.prefix + secrets.token_urlsafe(32)


def _write(path: Path, text: str, uid: int, own: Callable[[int, int, int], None]) -> None:
    """All of the file or none of it, readable by `uid` alone: 0400 before a byte is in it."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        own(handle, uid, uid)
        os.fsync(handle)
    new.replace(path)
