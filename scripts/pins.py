"""Tell which pins are behind what they were pinned from; needs a network. It changes nothing.

Images: their tag names another digest by now, with mends that the pin lacks. Actions: a newer tag.
Packages: a newer version. Models: another commit on the hub.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import typer
from huggingface_hub import HfApi
from packaging.utils import canonicalize_name
from rich.text import Text

from client.screen import one_line, terminal
from fetcher.catalogue import CATALOGUE
from supply.finding import ROOT, Finding
from supply.locks import LOCK, packages
from supply.pins import actions, images


class Unreached(Exception):
    """Whoever would know does not answer."""


def old_images() -> Iterator[Finding]:
    """Tags that were moved since they were pinned."""
    for reference in sorted({one.reference for one in images(ROOT)}):
        tag, _, digest = reference.partition("@")
        command = ["docker", "buildx", "imagetools", "inspect", "--format={{json .Manifest}}", tag]
        now = json.loads(_output(command))["digest"]
        if now != digest:
            yield Finding(tag, f"is {now} by now")


def old_actions() -> Iterator[Finding]:
    """Actions of which there is a newer release of the same kind of name, `v1.2.3`."""
    for reference in sorted({one.reference for one in actions(ROOT)}):
        name, _, commit = reference.partition("@")
        address = f"https://github.com/{'/'.join(name.split('/')[:2])}"
        tags: dict[str, str] = {}
        for line in _output(["git", "ls-remote", "--tags", address]).splitlines():
            number, tag = line.split("\t")
            if release := re.fullmatch(r"refs/tags/(v\d+\.\d+\.\d+)(?:\^\{\})?", tag):
                tags[release[1]] = number  # a tag's own object, then what it points to
        newest = max(tags, key=lambda tag: [int(part) for part in tag[1:].split(".")], default="")
        if newest and tags[newest] != commit:
            yield Finding(name, f"{newest} is {tags[newest]}")


def old_packages() -> Iterator[Finding]:
    """Locked packages with a newer version."""
    uv = str(ROOT / ".venv/bin/uv")
    listed = _output([uv, "pip", "list", "--outdated", "--format=json", "--directory", str(ROOT)])
    locked = {one.name for one in packages(ROOT / LOCK)}
    for one in json.loads(listed):
        if canonicalize_name(one["name"]) in locked:
            yield Finding(one["name"], f"{one['version']} → {one['latest_version']}")


def old_models() -> Iterator[Finding]:
    """Repositories of models with a newer commit."""
    for name, file in CATALOGUE.items():
        try:
            now = HfApi().model_info(file.repository).sha
        except Exception as error:  # its client raises what its transport does
            raise Unreached(f"the hub: {type(error).__name__}") from error
        if now != file.revision:
            yield Finding(name, f"{file.repository} is at {now}")


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreached(str(error)) from error
    if done.returncode:
        raise Unreached((done.stderr.strip().splitlines() or [command[0]])[-1])
    return done.stdout


def main() -> None:
    """Exit code 0: all are as new as can be; 1: some are not; 2: some could not be asked for."""
    console = terminal()
    kinds: dict[str, Callable[[], Iterator[Finding]]] = {
        "images": old_images,
        "actions": old_actions,
        "packages": old_packages,
        "models": old_models,
    }
    old, unreached = False, False
    for kind, look in kinds.items():
        try:
            found = list(look())
        except Unreached as error:
            unreached = True
            console.print(Text(f"  ? {kind}: {one_line(str(error), 200)}"))
            continue
        old = old or bool(found)
        console.print(Text(f"  {'~' if found else '✓'} {kind}"))
        for finding in found:
            console.print(Text(f"      {one_line(str(finding), 200)}"))
    raise typer.Exit(2 if unreached else int(old))


if __name__ == "__main__":
    typer.run(main)
