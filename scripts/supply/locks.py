"""The packages that the locks name."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from supply.finding import Finding

LOCK = "requirements.lock"


class Locked(NamedTuple):
    """A package at its one version."""

    name: str
    version: str


def blocks(lock: str) -> Iterator[tuple[int, str]]:
    """Each requirement with its hashes as one line of text, and the number of its first line."""
    start, text = 0, ""
    for number, line in enumerate(lock.splitlines(), 1):
        if not text and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start if text else number
        text += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, text
            text = ""


def packages(lock: Path) -> set[Locked]:
    """The packages of a lock, of every platform that it is for."""
    found = set()
    for _, text in blocks(lock.read_text()):
        requirement = Requirement(text.split(" --hash")[0].strip())
        (only,) = requirement.specifier
        found.add(Locked(canonicalize_name(requirement.name), only.version))
    return found


def unpinned(lock: Path, root: Path) -> Iterator[Finding]:
    """Lines that leave open which file is installed: no single version, or no SHA-256."""
    for number, text in blocks(lock.read_text()):
        place = f"{lock.relative_to(root)}:{number}"
        try:
            requirement = Requirement(text.split(" --hash")[0].strip())
        except InvalidRequirement:
            yield Finding(place, f"is no requirement: {text.strip()[:60]}")
            continue
        if [one.operator for one in requirement.specifier] != ["=="]:
            yield Finding(place, f"{requirement.name} is not held to one version")
        elif "--hash=sha256:" not in text:
            yield Finding(place, f"{requirement.name} has no hash")
