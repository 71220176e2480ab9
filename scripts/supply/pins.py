"""Everything that is taken from elsewhere by a name must be held by a digest or a commit.

Images of Dockerfiles, of compose files and of a chart's values; actions of workflows; packages of
locks.
What is built here (`bulkhead/…`) has no digest before a release gives it one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from supply.finding import Finding, tracked
from supply.locks import LOCK, unpinned

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_TAG = re.compile(r":[\w][\w.-]{0,127}@sha256:")
_DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPY = re.compile(r"^\s*(?:COPY|RUN)\b.*?(?:--from=|from=)([^\s,]+)", re.IGNORECASE)
_ARG = re.compile(r"^\s*ARG\s+(\w+)=(\S+)")
_IMAGE = re.compile(r"""^\s*-?\s*image:\s*["']?([^"'#\s]+)""")
_USES = re.compile(r"""^\s*-?\s*uses:\s*["']?([^"'#\s]+)""")
_OURS = "bulkhead/"


class Image(NamedTuple):
    """A reference to an image, where it stands."""

    place: str
    reference: str


def images(root: Path) -> Iterator[Image]:
    """Every image that a Dockerfile or a YAML file of the tree takes from outside."""
    for path in tracked(root):
        name = path.relative_to(root)
        if name.parts[0] == "tests":  # stand-ins, which are built and never released
            continue
        if path.suffix == ".tmpl":  # its image is the one of the tree that it is written into
            continue
        if path.name.startswith("Dockerfile"):
            found = _of_dockerfile(path)
        elif path.suffix in {".yaml", ".yml"}:
            found = _of_yaml(path)
            if path.name.startswith("values"):
                for reference in _of_values(yaml.safe_load(path.read_text())):
                    yield Image(str(name), reference)
        else:
            continue
        for number, reference in found:
            yield Image(f"{name}:{number}", reference)


def actions(root: Path) -> Iterator[Image]:
    """Every action that a workflow uses, those of the same repository left out."""
    for path in tracked(root):
        if path.is_relative_to(root / ".github") and path.suffix in {".yaml", ".yml"}:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if (used := _USES.match(line)) and not used[1].startswith("./"):
                    yield Image(f"{path.relative_to(root)}:{number}", used[1])


def floating(root: Path) -> Iterator[Finding]:
    """What is not held: each a reason not to release."""
    for place, reference in images(root):
        if not _DIGEST.search(reference):
            yield Finding(place, f"{reference} has no digest: what it names can change")
        elif not _TAG.search(reference):
            yield Finding(place, f"{reference} has no tag: nobody sees how old it is")
    for place, reference in actions(root):
        if not re.search(r"@[0-9a-f]{40}$|@sha256:[0-9a-f]{64}$", reference):
            yield Finding(place, f"{reference} is not held to a commit")
    for path in tracked(root):
        if path.name == LOCK:
            yield from unpinned(path, root)


def _of_dockerfile(path: Path) -> Iterator[tuple[int, str]]:
    arguments: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if given := _ARG.match(line):
            arguments[given[1]] = given[2]
        stage = _FROM.match(line)
        source = stage or _COPY.match(line)
        if source is None:
            continue
        reference = re.sub(
            r"\$\{?(\w+)\}?", lambda name: arguments.get(name[1], name[0]), source[1]
        )
        if reference not in stages and not reference.isdigit() and not _is_ours(reference):
            yield number, reference
        if stage and stage[2]:
            stages.add(stage[2])


def _of_yaml(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if named := _IMAGE.match(line):
            reference = _DEFAULT.sub(r"\1", named[1])
            # A template's own expression has its values elsewhere, in a file that is read too.
            if "{{" not in reference and not _is_ours(reference):
                yield number, reference


def _of_values(told: Any) -> Iterator[str]:
    """The images that a chart's values name by their parts."""
    if isinstance(told, dict):
        if "repository" in told:
            tag, digest = told.get("tag"), told.get("digest")
            yield (
                told["repository"] + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
            )
        for one in told.values():
            yield from _of_values(one)


def _is_ours(reference: str) -> bool:
    return reference.startswith(_OURS)
