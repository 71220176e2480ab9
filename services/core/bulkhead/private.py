"""What a service keeps is for its own user alone, under any umask."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def keep_private(folder: Path) -> None:
    """Make `folder`, and all that this process makes from now on, for its user alone.

    What earlier releases left open in it is closed. A folder that belongs to somebody else, as a
    volume may, or that is on a read-only disk, keeps its mode, which is logged.
    """
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink() or path.is_socket() or not path.stat().st_mode & 0o077:
            continue
        try:
            path.chmod(path.stat().st_mode & 0o700)
        except OSError:
            logger.warning(
                "others may read a folder whose mode cannot be changed", extra={"folder": path.name}
            )
