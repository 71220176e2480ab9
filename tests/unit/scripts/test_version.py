"""The version stands in one place, and all that has one takes it from there."""

import re
import subprocess
import tomllib
from pathlib import Path

from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from bulkhead import __version__

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "services/core/bulkhead/__init__.py"
SEMVER = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?"


def tracked(pattern: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in found.stdout.splitlines()]


def test_the_version_is_semver_and_its_source_is_read_without_importing_it() -> None:
    assert re.fullmatch(SEMVER, __version__)
    assert f'__version__ = "{__version__}"\n' in SOURCE.read_text()


def test_every_package_takes_it_from_there() -> None:
    for path in tracked("*pyproject.toml"):
        project = tomllib.loads(path.read_text())
        assert "version" not in project["project"], path
        assert project["project"]["dynamic"] == ["version"], path
        told = project["tool"]["hatch"]["version"]["path"]
        assert (path.parent / told).resolve() == SOURCE, path
        assert ProjectMetadata(str(path.parent), PluginManager()).version == __version__, path


def test_no_code_states_a_version_of_its_own() -> None:
    stated = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"""\b(?:version|__version__)\s*=\s*["']{SEMVER}["']""", line)
    ]
    assert stated == [f'services/core/bulkhead/__init__.py: __version__ = "{__version__}"']


def test_what_cannot_take_it_is_held_to_it() -> None:
    """A chart's version is a line of its own file, and the last release is a heading."""
    for chart in tracked("*/Chart.yaml"):
        stated = re.findall(r'^(?:version|appVersion): "?([^"\s]+)"?$', chart.read_text(), re.M)
        assert stated == [__version__, __version__], chart
    released = re.findall(rf"^## ({SEMVER})", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert all(version == __version__ for version, *_ in released[:1])
