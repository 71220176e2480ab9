"""Statements that a known hole does not reach us: OpenVEX 0.2.0, with a reason and an end.

https://github.com/openvex/spec. The format has no end date, and its schema allows no own field, so
`status_notes` begins with one: `Until 2027-03-01: …`.
"""

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNTIL = re.compile(r"Until (\d{4}-\d\d-\d\d): \S")


class VexError(ValueError):
    """A statement that does not say what it must."""


@dataclass(frozen=True)
class Statement:
    """A package is not affected by a vulnerability, until a day."""

    vulnerability: str
    package: str
    """A purl without a version, as `pkg:pypi/name`."""
    until: datetime.date
    file: str


def statements(folder: Path) -> list[Statement]:
    """All of a folder's `*.openvex.json`. Raises `VexError` on one that says too little."""
    return [
        one
        for path in sorted(folder.glob("*.openvex.json"))
        for entry in json.loads(path.read_text())["statements"]
        for one in _read(path.name, entry)
    ]


def _read(file: str, entry: dict[str, Any]) -> list[Statement]:
    name = entry["vulnerability"]["name"]
    place = f"{file}, {name}"
    if entry["status"] != "not_affected":
        raise VexError(f"{place}: status {entry['status']!r} excuses nothing")
    if not entry.get("justification") or not entry.get("impact_statement"):
        raise VexError(f"{place}: needs a justification and an impact_statement")
    until = _UNTIL.match(entry.get("status_notes", ""))
    if until is None:
        raise VexError(f"{place}: status_notes must begin with `Until YYYY-MM-DD: …`")
    day = datetime.date.fromisoformat(until[1])
    names = [name, *entry["vulnerability"].get("aliases", [])]
    packages = [product["@id"].split("@")[0] for product in entry["products"]]
    return [Statement(one, package, day, file) for one in names for package in packages]
