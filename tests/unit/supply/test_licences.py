"""Which licences are let in."""

from pathlib import Path

import pytest

from supply.finding import ROOT, tracked
from supply.licences import Allowed, refused
from supply.locks import LOCK, packages

LIST = ROOT / "deploy/supply/licences.toml"
ALLOWED = Allowed(
    frozenset({"MIT", "Apache-2.0", "BSD-3-Clause"}),
    {"by-hand": {"licence": "MIT", "reason": "its LICENSE"}},
)


def install(folder: Path, name: str, *lines: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines])
    )


def test_the_locked_packages_come_under_allowed_licences() -> None:
    locks = [path for path in tracked(ROOT) if path.name == LOCK and "deploy" not in path.parts]
    names = {one.name for lock in locks for one in packages(lock)}
    assert len(names) > 100
    assert list(refused(names, Allowed.load(LIST))) == []


@pytest.mark.parametrize(
    "line",
    [
        "License-Expression: MIT",
        "License-Expression: MIT OR GPL-3.0-only",
        "License-Expression: Apache-2.0 AND BSD-3-Clause",
        "Classifier: License :: OSI Approved :: MIT License",
        "License: Apache-2.0",
    ],
)
def test_an_allowed_licence_is_no_finding(tmp_path: Path, line: str) -> None:
    install(tmp_path, "planted", line)
    assert list(refused({"planted"}, ALLOWED, [str(tmp_path)])) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("License-Expression: AGPL-3.0-only", "AGPL-3.0-only is not among"),
        ("License-Expression: MIT AND AGPL-3.0-only", "is not among"),
        (
            "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
            "AGPL-3.0-only is not among",
        ),
        ("License-Expression: MIT WITH Classpath-exception-2.0", "is not among"),
        ("License-Expression: Beerware-9", "no SPDX expression"),
        ("License: see LICENSE", "says no licence"),
        ("Summary: nothing", "says no licence"),
        ("Classifier: License :: OSI Approved", "says no licence"),
    ],
)
def test_another_licence_or_none_is_found(tmp_path: Path, line: str, said: str) -> None:
    install(tmp_path, "planted", line)
    (found,) = refused({"planted"}, ALLOWED, [str(tmp_path)])
    assert found.place == "planted"
    assert said in found.problem


def test_what_was_read_by_hand_counts_before_the_metadata(tmp_path: Path) -> None:
    install(tmp_path, "By_Hand", "License-Expression: AGPL-3.0-only")
    assert list(refused({"by-hand"}, ALLOWED, [str(tmp_path)])) == []


def test_an_exception_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "licences.toml"
    path.write_text('allowed = ["MIT"]\n[packages]\na = { licence = "MIT" }\n')
    with pytest.raises(ValueError, match="a needs `licence` and `reason`"):
        Allowed.load(path)
