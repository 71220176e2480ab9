"""What Compose sees of this clone: its variables, and the project's name. Standard library only."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def variables(root: Path = ROOT) -> dict[str, str]:
    """What Compose will see: the lines of `.env`, under the environment."""
    lines = (root / ".env").read_text(encoding="utf-8").splitlines()
    written = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    return written | dict(os.environ)


def project(environment: Mapping[str, str], root: Path = ROOT) -> str:
    """`COMPOSE_PROJECT_NAME`, or the folder's name as Compose makes one of it."""
    plain = re.sub(r"[^-_a-z0-9]", "", root.name.lower()).lstrip("_-")
    return environment.get("COMPOSE_PROJECT_NAME") or plain


def chosen(environment: Mapping[str, str]) -> list[str]:
    """The profiles of `COMPOSE_PROFILES`."""
    words = environment.get("COMPOSE_PROFILES", "").split(",")
    return [word.strip() for word in words if word.strip()]
