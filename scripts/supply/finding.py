"""What a check finds, and the files it looks at."""

import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Finding(NamedTuple):
    """A reason not to release."""

    place: str
    """File and line, package, or image."""
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


def tracked(root: Path) -> list[Path]:
    """Every file of the tree that git knows, and what is new and not ignored.

    Raises `subprocess.CalledProcessError` outside a clone.
    """
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run([*command, "--exclude-standard"], check=True, stdout=subprocess.PIPE)
    names = filter(None, listed.stdout.decode().split("\0"))
    return sorted(path for name in names if (path := root / name).is_file())
