"""The places in a text that values go into: `{name}`."""

from collections.abc import Set
from string import Formatter


def places(text: str) -> frozenset[str]:
    """The names of a text's places. Raises `ValueError` for braces that name nothing plainly."""
    found = set()
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"its braces do not fit: {error}") from error
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"{{{name}}} is no plain name in braces; a brace itself is doubled")
        found.add(name)
    return frozenset(found)


def check_places(text: str, wanted: Set[str], optional: Set[str] = frozenset()) -> str:
    """`text`, which has the places that it should and no other. Raises `ValueError`, in words."""
    found = places(text)
    if missing := wanted - found - optional:
        raise ValueError(f"it lacks {_listed(missing)}")
    if unknown := found - wanted - optional:
        raise ValueError(f"nothing fills {_listed(unknown)}; it may hold {_listed(wanted)}")
    return text


def _listed(names: Set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no place at all"
