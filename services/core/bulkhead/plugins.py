"""Parts that a fork brings in packages of its own, by entry points.

Nothing is loaded that a setting does not name: an installed package alone changes nothing.
"""

from importlib.metadata import entry_points
from typing import TypeVar

Kind = TypeVar("Kind")


def load_plugin(group: str, name: str, kind: type[Kind]) -> Kind:
    """The object that the entry point `name` of `group` stands for.

    Raises `ValueError`, in words for the operator, when there is none or more than one, when it
    cannot be loaded, and when it is not of its `kind`.
    """
    found = entry_points(group=group)
    named = [point for point in found if point.name == name]
    if not named:
        there = ", ".join(sorted(point.name for point in found)) or "none at all"
        raise ValueError(f"no installed package has {name!r} in {group}; there is {there}")
    if len({(point.value, point.dist and point.dist.name) for point in named}) > 1:
        raise ValueError(f"more than one installed package has {name!r} in {group}")
    point = named[0]
    try:
        loaded = point.load()
    except Exception as error:  # whatever a foreign module does when it is imported
        told = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name!r} in {group} ({point.value}) cannot be loaded: {told}") from error
    if not isinstance(loaded, kind):
        raise ValueError(f"{name!r} in {group} ({point.value}) is no {kind.__name__}")
    return loaded


def names(setting: str) -> list[str]:
    """The names in a setting that lists them with commas between, each once."""
    return list(dict.fromkeys(name for name in map(str.strip, setting.split(",")) if name))
