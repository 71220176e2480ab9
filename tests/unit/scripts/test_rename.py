"""One command gives the project another name; it still works, and upstream can be merged."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OLD = "".join(("bulk", "head"))
_KEPT = ("LICENSE", "NOTICE", "examples/")


def git(where: Path, *words: str) -> str:
    told = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words]
    done = subprocess.run(told, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def held_in(path: Path) -> str:
    """What a file holds, or where a link leads, in small letters."""
    text = str(path.readlink()) if path.is_symlink() else path.read_bytes().decode("latin-1")
    return text.lower()


def renamed(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    who |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    command = [sys.executable, "scripts/rename.py", *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, env=os.environ | who)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What is here, as a repository with one commit."""
    made = tmp_path / "upstream"
    for line in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0"):
        if line and (ROOT / line).exists():
            (made / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / line, made / line, follow_symlinks=False)
    git(made, "init", "--quiet", "--initial-branch=main")
    git(made, "add", "--all")
    git(made, "commit", "--quiet", "--message", "Begin")
    return made


@pytest.fixture
def fork(upstream: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(upstream), "fork")
    return tmp_path / "fork"


@pytest.mark.timeout(1800)  # it runs three folders of tests
def test_all_of_it_has_the_new_name_and_still_works(fork: Path) -> None:
    done = renamed(fork, "acme")
    assert (done.returncode, done.stderr) == (0, "")
    assert git(fork, "status", "--porcelain") == ""
    files = git(fork, "ls-files").splitlines()
    assert [path for path in files if OLD in path.lower() and not path.startswith(_KEPT)] == []
    held = [path for path in files if not path.startswith(_KEPT) and OLD in held_in(fork / path)]
    assert held == []
    links = [path for path in files if (fork / path).is_symlink()]
    assert links and all((fork / path).exists() for path in links)
    assert (fork / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    compose = yaml.safe_load((fork / "compose.yaml").read_text())
    assert compose["services"]["retriever"]["image"].startswith("acme/retriever:")
    assert "acme" in (fork / "services/core/pyproject.toml").read_text()
    assert "ACME_PORT" in (fork / "compose.yaml").read_text()
    code = [str(path.parent.parent) for path in fork.glob("services/*/*/__init__.py")]
    code += [str(path.parent.parent) for path in fork.glob("mcp_tools/*/*/__init__.py")]
    tests = ["tests/unit/core", "tests/unit/compose", "tests/unit/scripts/test_version.py"]
    tried = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *tests,
        ],
        cwd=fork,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*code, str(fork / "scripts")])},
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 0, tried.stdout[-4000:]


def test_what_cannot_be_renamed_is_refused_and_stays_as_it_is(fork: Path) -> None:
    before = git(fork, "rev-parse", "HEAD")
    for name, words in {
        "Acme": "small letters",
        "a-b": "small letters",
        "x" * 25: "small letters",
        "class": "word of Python",
        "json": "word of Python",
        "retriever": "used here",
        "fastapi": "used here",
        f"my{OLD}": "holds the old name",
    }.items():
        done = renamed(fork, name)
        assert (done.returncode, words in done.stderr) == (1, True), (name, done.stderr)
    done = renamed(fork, "acme", "--upstream", "HEAD")
    assert "rename it first" in done.stderr
    (fork / "README.md").write_text("changed")
    assert "commit or drop them first" in renamed(fork, "acme").stderr
    assert git(fork, "rev-parse", "HEAD") == before
    assert git(fork, "status", "--porcelain").split() == ["M", "README.md"]


def test_what_upstream_changes_is_merged_without_a_conflict_twice(
    upstream: Path, fork: Path
) -> None:
    assert renamed(fork, "acme").returncode == 0
    assert "renamed before" in renamed(fork, "acme").stderr
    ours = fork / "services/core/acme/__init__.py"
    ours.write_text(ours.read_text() + "\nOURS = 1\n")
    git(fork, "commit", "--quiet", "--all", "--message", "Ours")
    for turn in ("first", "second"):
        theirs = upstream / "services/core" / OLD / "settings.py"
        text = re.sub(r"(\A.*\n)", rf"\1# {turn}: {OLD.upper()}_X of {OLD}\n", theirs.read_text())
        theirs.write_text(text)
        (upstream / "services/core" / OLD / f"{turn}.py").write_text(f"from {OLD} import app\n")
        git(upstream, "add", "--all")
        git(upstream, "commit", "--quiet", "--message", turn)
        git(fork, "fetch", "--quiet", "origin")
        done = renamed(fork, "acme", "--upstream", "origin/main")
        assert (done.returncode, done.stderr) == (0, "")
        git(fork, "merge", "--quiet", "--no-edit", "upstream-renamed")
        assert f"# {turn}: ACME_X of acme" in (fork / "services/core/acme/settings.py").read_text()
        new = (fork / f"services/core/acme/{turn}.py").read_text()
        assert new == "from acme import app\n"
        assert "OURS = 1" in ours.read_text()
        assert not (fork / "services/core" / OLD).exists()
    assert git(fork, "worktree", "list").count("\n") == 1
