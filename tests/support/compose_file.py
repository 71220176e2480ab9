"""compose.yaml as Compose renders it, read without Compose: merges, variables, one form each.

Enough of Compose's rules for this one file. tests/stack holds the same rules against what
`docker compose config` itself makes of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "compose.yaml"

Json = dict[str, Any]


@dataclass(frozen=True)
class Mount:
    """A volume, or a folder of the host, in a container."""

    source: str
    target: str
    read_only: bool
    nocopy: bool


def defaults() -> dict[str, str]:
    """The variables of `.env`."""
    lines = (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    written = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {"COMPOSE_PROJECT_NAME": "clone"} | written


def rendered(environment: Mapping[str, str] | None = None) -> Json:
    """The whole file, every profile, with the variables of `.env` under `environment`."""
    values = defaults() | dict(environment or {})
    loaded: Json = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {key: _filled(part, values) for key, part in loaded.items()}


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(one, values) for key, one in part.items()}
    if isinstance(part, list):
        return [_filled(one, values) for one in part]
    if isinstance(part, str):
        return re.sub(r"\$(\$|\{(\w+)(?::([-+])([^}]*))?\})", lambda m: _value(m, values), part)
    return part


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    whole, name, sign, other = match.groups()
    if whole == "$":
        return "$"
    value = values.get(name, "")
    if sign == "+":
        return other if value else ""
    return value or other or ""


def services(config: Json) -> dict[str, Json]:
    """Every service of a rendered file."""
    found: dict[str, Json] = config["services"]
    return found


def networks(service: Json) -> set[str]:
    """The networks that a service is on."""
    return set(service.get("networks") or ())


def names(service_name: str, service: Json) -> set[str]:
    """What a service is called on its networks."""
    attached = service.get("networks")
    aliases: set[str] = {service_name}
    if isinstance(attached, dict):
        for options in attached.values():
            aliases |= set((options or {}).get("aliases", ()))
    return aliases


def mounts(service: Json) -> list[Mount]:
    """The volumes and folders of a service."""
    return [_mount(one) for one in service.get("volumes", ())]


def _mount(one: str | Json) -> Mount:
    if isinstance(one, str):
        source, target, *rest = one.split(":")
        options = rest[0].split(",") if rest else []
        return Mount(source, target, "ro" in options, "nocopy" in options)
    nocopy = bool(one.get("volume", {}).get("nocopy"))
    return Mount(one.get("source", ""), one["target"], bool(one.get("read_only")), nocopy)


def environment(service: Json) -> dict[str, str]:
    """The variables of a service."""
    return {key: str(value) for key, value in (service.get("environment") or {}).items()}


def published(service: Json) -> list[tuple[str, str]]:
    """The ports of the host that lead to a service, each with the address it is bound to."""
    found = []
    for port in service.get("ports", ()):
        if isinstance(port, str):
            address, number, _ = port.rsplit(":", 2)
            found.append((address, number))
        else:
            found.append((port.get("host_ip", ""), str(port["published"])))
    return found
