"""The model fetcher against a hub on loopback, and what it says when something is wrong."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_hub import COMMIT, FakeHub, serving
from serving import free_port

from fetcher.__main__ import bring
from fetcher.model import FetchError
from fetcher.settings import FetcherSettings

WEIGHTS = bytes(range(256)) * 65536  # 16 MiB: the hub library writes in steps of ten

FILES = {
    "config.json": b'{"layers": 2}',
    "model.safetensors": WEIGHTS,
    "1_Pooling/config.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"raise SystemExit",
    "onnx/model.json": b"{}",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub(dict(FILES))) as running:
        yield running


def settings(folder: Path, address: str, **other: object) -> FetcherSettings:
    (folder / "models").mkdir(exist_ok=True)
    told = {"llm_model": "some/model", "llm_revision": COMMIT, "hub": address} | other
    return FetcherSettings.model_validate({"folder": folder / "models", **told})


def test_weights_and_what_describes_them_come_and_nothing_that_could_run(
    hub: FakeHub, tmp_path: Path
) -> None:
    bring(settings(tmp_path, hub.address))

    model = tmp_path / "models" / "llm"
    assert model.is_symlink() and model.readlink() == Path(f"some--model@{COMMIT[:12]}")
    assert (model / "model.safetensors").read_bytes() == WEIGHTS
    assert (model / "1_Pooling/config.json").read_bytes() == b"{}"
    for unwanted in ("pytorch_model.bin", "modeling.py", "onnx/model.json"):
        assert not (model / unwanted).exists() and unwanted not in hub.fetched


def test_a_second_start_asks_the_hub_for_nothing(hub: FakeHub, tmp_path: Path) -> None:
    bring(settings(tmp_path, hub.address))

    bring(settings(tmp_path, f"http://127.0.0.1:{free_port()}"))


def test_a_download_that_broke_off_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = 12 * 2**20

    bring(settings(tmp_path, hub.address))

    assert any(int(asked.removeprefix("bytes=").split("-")[0]) > 0 for asked in hub.ranges)
    assert (tmp_path / "models/llm/model.safetensors").read_bytes() == WEIGHTS


def test_what_came_before_the_process_died_is_kept(hub: FakeHub, tmp_path: Path) -> None:
    bring(settings(tmp_path, hub.address))
    (tmp_path / "models/llm/.complete.json").unlink()
    hub.fetched.clear()

    bring(settings(tmp_path, hub.address))

    assert hub.fetched == []


def test_a_file_that_is_not_what_the_hub_lists_is_removed(hub: FakeHub, tmp_path: Path) -> None:
    for damaged in ("model.safetensors", "config.json"):
        hub.lie_about = damaged
        with pytest.raises(FetchError, match=f"{damaged} of some/model .* came damaged"):
            bring(settings(tmp_path, hub.address))
        assert not list((tmp_path / "models").glob(f"*/{damaged}"))
        assert not (tmp_path / "models/llm").exists()

    hub.lie_about = ""
    bring(settings(tmp_path, hub.address))
    assert (tmp_path / "models/llm/config.json").read_bytes() == FILES["config.json"]


class Refusal(NamedTuple):
    harm: dict[str, object]
    words: str


REFUSALS = {
    "gated": Refusal({"gated": True}, "some/model is gated: accept its terms .* HF_TOKEN_FILE"),
    "another commit": Refusal({"missing": True}, f"some/model has no commit {COMMIT}"),
    "broken hub": Refusal({"status": 500}, "the hub answered 500 for some/model"),
    "only pickles": Refusal(
        {"files": {"pytorch_model.bin": b"x", "config.json": b"{}"}}, "no weights in safetensors"
    ),
    "more than the disk holds": Refusal(
        {"size_of": {"model.safetensors": 2**60}}, r"needs 11529215\d+\.\d GB more and .* are free"
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_stands_in_the_way_is_said_before_a_byte_is_fetched(
    case: Refusal, hub: FakeHub, tmp_path: Path
) -> None:
    for name, value in case.harm.items():
        setattr(hub, name, value)

    with pytest.raises(FetchError, match=case.words):
        bring(settings(tmp_path, hub.address))

    assert hub.fetched == []


def test_without_a_way_out_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the hub cannot be reached for some/model"):
        bring(settings(tmp_path, f"http://127.0.0.1:{free_port()}"))


def test_a_disk_that_fills_up_meanwhile_is_named(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fetcher.hub.hf_hub_download", full)

    with pytest.raises(FetchError, match="the disk is full; what has come of some/model"):
        bring(settings(tmp_path, hub.address))


def test_the_token_is_read_from_its_file_and_an_empty_file_is_none(
    hub: FakeHub, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("")
    bring(settings(tmp_path, hub.address, token_file=token))
    assert hub.tokens == {""}

    token.write_text("hf_of-the-user\n")
    shutil.rmtree(tmp_path / "models")
    bring(settings(tmp_path, hub.address, token_file=token))
    assert "Bearer hf_of-the-user" in hub.tokens


def test_another_model_takes_the_place_and_the_old_one_stays(hub: FakeHub, tmp_path: Path) -> None:
    bring(settings(tmp_path, hub.address))
    hub.files["model.safetensors"] = b"weights"
    bring(settings(tmp_path, hub.address, llm_model="other/model"))
    assert (tmp_path / "models/llm/model.safetensors").read_bytes() == b"weights"

    bring(settings(tmp_path, f"http://127.0.0.1:{free_port()}"))
    assert (tmp_path / "models/llm/model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("some/model", None, "LLM_REVISION must be the commit"),
        ("some/model", "main", "LLM_REVISION must be the commit"),
        ("some/model", COMMIT[:12], "LLM_REVISION must be the commit"),
        ("../../etc", COMMIT, "OWNER/NAME"),
        ("a/..", COMMIT, "OWNER/NAME"),
        ("model", COMMIT, "OWNER/NAME, or one of qwen2.5-coder-0.5b-instruct, "),
        ("http://some/model", COMMIT, "OWNER/NAME"),
    ],
)
def test_a_model_that_is_not_pinned_is_refused(
    tmp_path: Path, name: str, revision: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        bring(settings(tmp_path, "", llm_model=name, llm_revision=revision))


def test_of_a_repository_of_gguf_files_the_one_that_is_named_comes_alone(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.files = {"small.gguf": b"small", "large.gguf": b"large", "config.json": b"{}"}

    bring(settings(tmp_path, hub.address, llm_gguf="small.gguf"))
    assert hub.fetched == ["small.gguf"]
    bring(settings(tmp_path, hub.address, llm_gguf="large.gguf"))
    assert [path.name for path in (tmp_path / "models/llm").glob("*.gguf")] == ["large.gguf"]


@pytest.mark.parametrize("name", ["../secret.gguf", "model.safetensors", "a/b.gguf"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"LLM_GGUF is a file of some/model that ends in \.gguf"):
        bring(settings(tmp_path, "", llm_gguf=name))
