"""What an SBOM names, and what differs between two."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fetcher.catalogue import CATALOGUE
from supply.finding import ROOT
from supply.locks import packages
from supply.sbom import changes, of_locks, of_models
from supply.tools import ENVIRONMENT


def bom(**versions: str) -> dict[str, Any]:
    return {
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
            }
            for name, version in versions.items()
        ]
    }


def test_a_difference_is_told_by_name() -> None:
    assert changes(bom(a="1", b="1", c="1"), bom(a="1", b="2", d="1")) == [
        ("pkg:pypi/b", "1", "2"),
        ("pkg:pypi/c", "1", ""),
        ("pkg:pypi/d", "", "1"),
    ]


def test_a_model_with_another_file_is_another_model() -> None:
    before, after = of_models(), of_models()
    assert len(before["components"]) == len(CATALOGUE)
    after["components"][0]["hashes"][0]["content"] = "f" * 64
    ((name, was, became),) = changes(before, after)
    assert next(iter(CATALOGUE)) in name
    assert (was[-64:], became[-64:]) == (before["components"][0]["hashes"][0]["content"], "f" * 64)


@pytest.mark.skipif(
    not (ENVIRONMENT / "bin/cyclonedx-py").exists(), reason="`make gate` has not made .supply"
)
def test_a_lock_s_sbom_has_each_package_with_its_hashes(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "services/fetcher"
    folder.mkdir(parents=True)
    lock = ROOT / "services/fetcher/requirements.lock"
    (folder / "requirements.lock").write_bytes(lock.read_bytes())
    ((name, made),) = of_locks(tmp_path)
    assert name == "fetcher"
    assert {(one["name"], one["version"]) for one in made["components"]} == packages(lock)
    hashes = [one.get("externalReferences", [{}])[0].get("hashes") for one in made["components"]]
    assert all(hashes)


def test_the_command_tells_of_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(bom(a="1")))
    for text, code in (("{", 2), ("[]", 2), (json.dumps(bom(a="1")), 0), (json.dumps(bom()), 1)):
        (tmp_path / "b.json").write_text(text)
        command = [sys.executable, str(ROOT / "scripts/sbom.py"), "diff"]
        done = subprocess.run([*command, str(tmp_path / "a.json"), str(tmp_path / "b.json")])
        assert done.returncode == code, text
