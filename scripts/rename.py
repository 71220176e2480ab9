"""`scripts/rename.py acme`: the whole project under another name, in one commit.

`--upstream REF` brings what the project it was forked from has at REF onto a branch where all of
it has the new name, so that it can be merged. docs/fork.md says how the two go together.
"""

import argparse
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

OLD = "".join(("bulk", "head"))  # in two pieces: the script outlives its own work
CORE = "services/core"
KEPT = ("LICENSE", "NOTICE", "examples/")
"""Who wrote what stays said; and the story that the demo's documents tell is about the original."""
BRANCH = "upstream-renamed"
_NAME = re.compile(r"[a-z][a-z0-9]{1,23}")
_FORMS = re.compile("|".join((OLD, OLD.capitalize(), OLD.upper())).encode())


class Refused(Exception):
    """Why nothing was renamed, in words."""


def check_name(name: str, root: Path) -> None:
    """Whether a project can be called that. Raises `Refused`."""
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r}: a name is 2 to 24 small letters and digits, a letter first")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise Refused(f"{name!r} is a word of Python's own")
    if OLD in name:
        raise Refused(f"{name!r} holds the old name, and would be renamed again with it")
    ours = {path.name for place in ("services", "mcp_tools") for path in root.glob(f"{place}/*/*/")}
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (root / "requirements.lock").read_text(), re.M)
    if name in ours | {one.lower() for one in locked} or importlib.util.find_spec(name):
        raise Refused(f"{name!r} is the name of a package that is used here")


def rename(root: Path, name: str) -> int:
    """Give each tracked file of the tree at `root` the new name, inside and out; how many changed.

    The three ways in which it is written stay what they are: small, with a capital, in capitals.
    """

    def new(found: re.Match[bytes]) -> bytes:
        old = found[0].decode()
        if old.isupper():
            return name.upper().encode()
        return (name if old.islower() else name.capitalize()).encode()

    changed = 0
    for line in _git(root, "ls-files", "-z").split("\0"):
        path = root / line
        if not line or line.startswith(KEPT):
            continue
        target = root / _FORMS.sub(new, line.encode()).decode()
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            content = str(path.readlink()).encode()
            renamed = _FORMS.sub(new, content)
            path.unlink()
            target.symlink_to(renamed.decode())
        else:
            content = path.read_bytes()
            renamed = content if b"\0" in content else _FORMS.sub(new, content)
            if renamed != content:
                path.write_bytes(renamed)
            if target != path:
                path.rename(target)
        changed += renamed != content or target != path
    _clear(root)
    _sort(root)
    _git(root, "add", "--all")
    return changed


def _clear(root: Path) -> None:
    """Remove folders of the old name in which only compiled code is left."""
    for place in ("services/*", "mcp_tools/*", "deploy/*"):
        for folder in root.glob(f"{place}/{OLD}"):
            left = [path for path in folder.rglob("*") if not path.is_dir()]
            if all("__pycache__" in path.parts for path in left):
                shutil.rmtree(folder)


def _sort(root: Path) -> None:
    """Imports stand in the order of their names, and lines break where they are full."""
    ruff = Path(sys.prefix) / "bin" / "ruff"
    for command in (["check", "--quiet", "--fix-only", "--select=I"], ["format", "--quiet"]):
        subprocess.run([str(ruff), *command, "."], cwd=root, check=True)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)  # noqa: S607
    if done.returncode:
        raise Refused(f"git {words[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip() if "-z" not in words else done.stdout


def rename_here(root: Path, name: str) -> None:
    """Rename the checkout, and commit it. Raises `Refused`, with nothing changed."""
    _check_clean(root)
    if not (root / CORE / OLD).is_dir():
        raise Refused(f"nothing here is called {OLD} any more: it was renamed before")
    check_name(name, root)
    changed = rename(root, name)
    title = f"Call it {name.capitalize()} in place of {OLD.capitalize()}"
    _git(root, "commit", "--quiet", "--message", title)
    print(f"{changed} files renamed, in one commit. Now: make setup, make test.")
    print("docs/fork.md says how what comes from upstream is merged.")


def bring_upstream(root: Path, name: str, upstream: str) -> None:
    """Put what `upstream` holds, renamed, onto the branch that is merged. Raises `Refused`."""
    _check_clean(root)
    if not (root / CORE / name).is_dir():
        raise Refused(f"this checkout is not called {name}: rename it first")
    theirs = _git(root, "rev-parse", "--verify", f"{upstream}^{{commit}}")
    known = _git(root, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")
    if not known:
        known = _begun(root, name, theirs)
    told = f"{upstream} as {name.capitalize()}"
    made = _committed(root, name, theirs, (known, theirs), told)
    _git(root, "branch", "--force", BRANCH, made)
    print(f"{BRANCH} holds {upstream} under the new name. Now: git merge {BRANCH}")


def _begun(root: Path, name: str, theirs: str) -> str:
    """The commit that merges begin from: where the fork left upstream, renamed, and known here."""
    left = _git(root, "merge-base", "HEAD", theirs)
    told = f"Where {name.capitalize()} left upstream"
    made = _committed(root, name, left, (left,), told)
    # All of it is here already, by the commit that renamed this checkout.
    _git(root, "merge", "--quiet", "--strategy=ours", "--message", told, made)
    return made


def _committed(root: Path, name: str, commit: str, parents: Iterable[str], told: str) -> str:
    """A commit of `commit`'s files under the new name."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _git(root, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            rename(tree, name)
            made = _git(tree, "write-tree")
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))
    after = [word for parent in parents for word in ("-p", parent)]
    return _git(root, "commit-tree", made, *after, "-m", told)


def _check_clean(root: Path) -> None:
    if _git(root, "status", "--porcelain"):
        raise Refused("the checkout has changes that no commit has: commit or drop them first")
    if not (Path(sys.prefix) / "bin" / "ruff").exists():
        raise Refused("run it in the project's environment: make setup, then .venv/bin/python")


def main(arguments: list[str]) -> int:
    """Exit code 1: it was refused, and nothing has changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the new name, in small letters")
    parser.add_argument("--upstream", metavar="REF", help="bring this commit of upstream instead")
    told = parser.parse_args(arguments)
    root = Path(__file__).resolve().parents[1]
    try:
        if told.upstream:
            bring_upstream(root, told.name, told.upstream)
        else:
            rename_here(root, told.name)
    except Refused as refused:
        print(f"rename: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
