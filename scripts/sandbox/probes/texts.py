"""What every process of a container has in its environment and command line, and its secrets.

Runs in a container that has joined the other's processes. Prints `{"target": …, "own": …}`; `own`
is what the same look finds of this program.

    texts.py [ROOT]

ROOT is where the secrets are looked for; without it the root of the other's first process. With an
empty one there is no other.
"""

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SECRETS = "run/secrets"
_SHORTEST = 32  # characters: a secret of 256 bits has more


def read(path: Path) -> str:
    """A file of words that end with NUL, a line each; nothing of a process that has ended."""
    try:
        return path.read_bytes().replace(b"\0", b"\n").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def texts(mine: bool) -> Json:
    """Of this container's processes, or of the other's."""
    own = Path("/proc/self/ns/mnt").readlink()
    found = {"environments": "", "command lines": ""}
    for process in Path("/proc").iterdir():
        try:
            here = process.name.isdigit() and (process / "ns/mnt").readlink() == own
            if not process.name.isdigit() or here is not mine:
                continue
        except FileNotFoundError:
            continue
        except PermissionError:
            if not mine:  # what is not read proves nothing
                raise
            continue
        found["environments"] += read(process / "environ")
        found["command lines"] += read(process / "cmdline")
    return found


def secrets(folder: Path) -> Json:
    """The secrets of a folder, and the mode of each file. `/dev/null` is a secret nobody gave."""
    files = [one for one in folder.iterdir() if one.is_file()] if folder.is_dir() else []
    return {
        "secrets": [word for one in files for word in read(one).split() if len(word) >= _SHORTEST],
        "modes": {one.name: f"{one.stat().st_mode & 0o777:03o}" for one in files},
    }


if __name__ == "__main__":
    root = sys.argv[1] if len(sys.argv) > 1 else "/proc/1/root"
    target = texts(mine=False) | secrets(Path(root, SECRETS)) if root else {}
    print(json.dumps({"target": target, "own": texts(mine=True)}))
