"""Copies this Python into an empty root, where no shell is and no PATH leads to it.

`gather.py FOLDER` makes FOLDER/program, its library in FOLDER/python, what is installed beside it
in FOLDER/packages, and the shared objects that they link where those are looked for.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def linked(file: Path) -> set[Path]:
    """The shared objects that a file links, the loader among them."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", said)}


def main(out: Path) -> None:
    """Copy."""
    program = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = out / "python/lib" / version
    unwanted = shutil.ignore_patterns("test", "tests", "__pycache__", "dist-packages", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=unwanted, symlinks=False)
    packages = Path(sysconfig.get_path("purelib"))
    shutil.copytree(packages, out / "packages", ignore=unwanted)
    shutil.copy2(program, out / "program")
    for file in {program, *out.rglob("*.so")}:
        for path in linked(file):
            place = out / path.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
