"""`python lay_out.py SOURCE TARGET`: TARGET holds what SOURCE does, for everyone to read.

What a release before left there goes.
"""

import os
import shutil
import sys
from pathlib import Path


def lay_out(source: Path, target: Path) -> None:
    """Copy the files in place of whatever is there; the folder itself, a volume's, stays."""
    os.umask(0o022)
    for old in target.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copyfile(path, copy)


if __name__ == "__main__":
    lay_out(*map(Path, sys.argv[1:]))
