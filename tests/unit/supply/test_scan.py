"""Planted secrets and planted faults of configuration."""

import subprocess
from pathlib import Path

import pytest

from supply.scan import scan, workflows
from supply.tools import ENVIRONMENT

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "bin/trivy").exists(), reason="`make gate` has not made .supply"
)


def test_what_git_would_commit_is_scanned_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    planted = "ghp_" + "x7Qm2Vt9Lr4Kp8Zs1Wd5Hy3Bn6Jf0Gc2Ta9e"  # in the shape of a token of GitHub's
    (tmp_path / ".gitignore").write_text(".data/\n")
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data/key").write_text(planted)
    (tmp_path / "Dockerfile").write_text("FROM a:1\nUSER 1000\nCMD x\n")
    assert list(scan(tmp_path)) == []

    (tmp_path / "notes.md").write_text(f"token: {planted}\n")
    (tmp_path / "Dockerfile").write_text("FROM a:1\nUSER root\nCMD x\n")
    said = sorted(map(str, scan(tmp_path)))
    assert [one.split(":")[0] for one in said] == ["Dockerfile", "notes.md"]
    assert "root" in said[0]
    assert planted not in "".join(said)


def test_a_workflow_that_runs_what_a_stranger_writes_is_found(tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    head = "name: a\non: issues\npermissions: {}\nconcurrency: a\njobs:\n  a:\n    name: a\n"
    step = "    runs-on: ubuntu-24.04\n    steps:\n      - run: echo "
    (folder / "a.yml").write_text(f"{head}{step}hello\n")
    assert list(workflows(tmp_path)) == []
    (folder / "a.yml").write_text(f"{head}{step}${{{{ github.event.issue.title }}}}\n")
    (found,) = workflows(tmp_path)
    assert found.place == ".github/workflows/a.yml"
    assert "template-injection" in found.problem
