"""Under which licences the packages of the locks come, against a list of those that are allowed.

The licence is what a package's metadata says: `License-Expression` of PEP 639, else its
classifiers, else its `License` field. Where that says nothing usable, the list names it with a
reason.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from license_expression import ExpressionError, LicenseExpression, get_spdx_licensing
from packaging.utils import canonicalize_name

from supply.finding import Finding

_SPDX = get_spdx_licensing()
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Of PyPI's classifiers, as SPDX names them. One that is not here says too little."""


@dataclass(frozen=True)
class Allowed:
    """`deploy/supply/licences.toml`."""

    licences: frozenset[str]
    """SPDX identifiers, exceptions included (`… WITH …` is one)."""
    packages: Mapping[str, Mapping[str, str]]
    """By package: `licence`, what was read in its files, and `reason`."""

    @classmethod
    def load(cls, path: Path) -> "Allowed":
        """Raises OSError, ValueError or KeyError where it is not such a file."""
        read = tomllib.loads(path.read_text())
        packages: dict[str, Mapping[str, str]] = {
            canonicalize_name(name): one for name, one in read["packages"].items()
        }
        for name, one in packages.items():
            if set(one) != {"licence", "reason"}:
                raise ValueError(f"{path}: {name} needs `licence` and `reason`")
        return cls(frozenset(read["allowed"]), packages)


def refused(
    names: Iterable[str], allowed: Allowed, where: list[str] | None = None
) -> Iterator[Finding]:
    """Packages whose licence is not allowed or not known.

    `names`: canonical names. `where`: folders with their metadata, `sys.path` by default. A package
    for another platform, which is not installed here, is looked at where it is installed.
    """
    installed = _installed(where)
    for name in sorted(set(names)):
        by_hand = allowed.packages.get(name)
        if by_hand is None and name not in installed:
            continue
        said = by_hand["licence"] if by_hand else licence(installed[name])
        if said is None:
            yield Finding(name, "says no licence; read its files and write down what they say")
            continue
        try:
            parsed = _SPDX.parse(said, validate=True, strict=False)
        except ExpressionError:
            yield Finding(name, f"{said!r} is no SPDX expression")
            continue
        if not _fits(parsed, allowed.licences):
            yield Finding(name, f"{said} is not among the allowed licences")


def licence(distribution: Distribution) -> str | None:
    """The licence of a package as an SPDX expression, as far as its metadata says one."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    said = [
        _CLASSIFIERS[name]
        for classifier in metadata.get_all("Classifier", [])
        if (name := classifier.rsplit(" :: ", 1)[-1]) in _CLASSIFIERS
        and classifier.startswith("License ::")
    ]
    if said:
        return " OR ".join(dict.fromkeys(said))
    text = metadata["License"].strip() if "License" in metadata else ""
    try:
        _SPDX.parse(text, validate=True, strict=False)
    except ExpressionError:
        return None
    return text or None


def _installed(where: list[str] | None) -> dict[str, Distribution]:
    found = distributions(path=where) if where is not None else distributions()
    return {canonicalize_name(one.metadata["Name"]): one for one in found}


def _fits(expression: LicenseExpression, allowed: frozenset[str]) -> bool:
    """An `OR` fits when one side does, an `AND` when all do."""
    arguments = getattr(expression, "args", ())
    if expression.__class__.__name__ == "OR":
        return any(_fits(one, allowed) for one in arguments)
    if expression.__class__.__name__ == "AND":
        return all(_fits(one, allowed) for one in arguments)
    return str(expression) in allowed
