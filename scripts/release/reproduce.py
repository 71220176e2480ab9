"""Build images twice from nothing, and name every file that differs between the two.

File times are left out: a release's build sets them all to the commit's (`rewrite-timestamp`).
"""

import hashlib
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from client.screen import terminal
from release.override import built
from supply.finding import ROOT

Entry = tuple[int, int, int, str, str]
"""Mode, user, group, link's goal, SHA-256 of the content."""


def differing(one: dict[str, Entry], other: dict[str, Entry]) -> list[str]:
    """Names of what is in one of two trees alone, or not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def entries(archive: Path) -> dict[str, Entry]:
    """What a tar holds, by name."""
    found = {}
    with tarfile.open(archive) as tree:
        for member in tree:
            file = tree.extractfile(member) if member.isfile() else None
            content = hashlib.sha256(file.read() if file else b"").hexdigest()
            found[member.name] = (
                member.mode, member.uid, member.gid, member.linkname, content
            )  # fmt: skip
    return found


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="Parts; all by default.")] = None,
) -> None:
    """Exit code 0: both builds are the same; 1: something differs; 2: a build failed."""
    console, services = terminal(), {part: service for service, part in built().items()}
    differs = False
    for part in parts or sorted(services):
        with tempfile.TemporaryDirectory() as folder:
            trees = []
            for number in ("first", "second"):
                goal = Path(folder, f"{number}.tar")
                command = ["docker", "buildx", "bake", "--file=compose.yaml", "--no-cache"]
                command += [f"--set={services[part]}.tags=", services[part]]
                command += [f"--set={services[part]}.output=type=tar,dest={goal}"]
                done = subprocess.run(
                    command, cwd=ROOT, capture_output=True, text=True,
                    env=os.environ | {"SOURCE_DATE_EPOCH": "0"},
                )  # fmt: skip
                if done.returncode:
                    console.print(done.stderr[-2000:], markup=False)
                    raise typer.Exit(2)
                trees.append(entries(goal))
        found = differing(*trees)
        differs = differs or bool(found)
        console.print(f"  {'✗' if found else '✓'} {part}: {len(trees[0])} entries")
        for name in found[:20]:
            console.print(f"      {name}", markup=False)
    raise typer.Exit(int(differs))


if __name__ == "__main__":
    typer.run(main)
