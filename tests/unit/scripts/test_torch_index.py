"""Where torch comes from, with pip itself and an index on loopback in the place of PyTorch's."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serving import free_port, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

import torch_index
from bootstrap import torch_step
from torch_index import choose

PIP = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
VERSION = torch_index.TORCH.rpartition("=")[2]


def wheel(folder: Path, version: str) -> Path:
    """A wheel of a `torch` that holds its version and nothing else."""
    path = folder / f"torch-{version}-py3-none-any.whl"
    information = f"torch-{version}.dist-info"
    files = {
        "torch.py": f"__version__ = {version!r}\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{information}/RECORD", "".join(record) + f"{information}/RECORD,,\n")
    return path


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Index:
    """A package index: its address, the wheels that it offers, and how often it was asked."""

    address: str = ""
    wheels: list[Path] = field(default_factory=list)
    asked: int = 0

    def listing(self, request: Request) -> Response:
        self.asked += 1
        links = [f'<a href="../files/{one.name}">{one.name}</a>' for one in self.wheels]
        return HTMLResponse("".join(links))

    def file(self, request: Request) -> Response:
        found = {one.name: one for one in self.wheels}
        return Response(found[request.path_params["name"]].read_bytes())


@pytest.fixture
def index() -> Iterator[Index]:
    offered = Index()
    routes = [Route("/torch/", offered.listing), Route("/files/{name}", offered.file)]
    with serving(Starlette(routes=routes)) as address:
        offered.address = address
        yield offered


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without settings of this machine's."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sys, "platform", "linux")


def test_the_cpu_index_is_taken_where_it_answers(index: Index, tmp_path: Path) -> None:
    index.wheels = [wheel(tmp_path, f"{VERSION}+cpu"), wheel(tmp_path, "9.9.9+cpu")]
    chosen = choose(PIP, None, index.address)
    assert chosen == index.address

    _, command, _ = torch_step(PIP, chosen)
    into = ["--target", str(tmp_path / "there"), "--no-cache-dir"]
    subprocess.run([*command, *into], check=True, capture_output=True)
    assert (tmp_path / "there/torch.py").read_text() == f"__version__ = '{VERSION}+cpu'\n"


def test_pips_own_index_is_taken_where_the_cpu_index_does_not_answer() -> None:
    assert choose(PIP, None, f"http://127.0.0.1:{free_port()}") == ""


@pytest.mark.parametrize("version", [VERSION, "2.12.0+cpu"])
def test_an_index_without_this_versions_cpu_build_is_no_answer(
    index: Index, tmp_path: Path, version: str
) -> None:
    index.wheels = [wheel(tmp_path, version)]
    assert choose(PIP, None, index.address) == ""
    assert index.asked


def test_a_wheel_that_pips_settings_offer_is_taken_and_nobody_is_asked(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheels = [wheel(tmp_path, f"{VERSION}+cpu")]
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert choose(PIP, None, index.address) == ""
    assert not index.asked

    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nfind-links = {tmp_path}\n")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    assert choose(PIP, None, index.address) == ""
    assert not index.asked


def test_a_wheel_of_another_version_is_none(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    wheel(tmp_path / "links", "2.12.0+cpu")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    index.wheels = [wheel(tmp_path, f"{VERSION}+cpu")]
    assert choose(PIP, None, index.address) == index.address


def test_what_the_person_says_is_done_and_nobody_is_asked(index: Index, tmp_path: Path) -> None:
    index.wheels = [wheel(tmp_path, f"{VERSION}+cpu")]
    assert choose(PIP, "the-company's-index", index.address) == "the-company's-index"
    assert choose(PIP, "", index.address) == ""  # set to nothing
    assert not index.asked


def test_only_linux_has_cuda_in_the_plain_index(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheels = [wheel(tmp_path, f"{VERSION}+cpu")]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert choose(PIP, None, index.address) == ""
    assert not index.asked


@pytest.mark.parametrize(
    ("told", "words"),
    [("the-company's-index", ["--index-url", "the-company's-index"]), ("", [])],
)
def test_the_words_for_a_dockerfile(
    monkeypatch: pytest.MonkeyPatch, told: str, words: list[str]
) -> None:
    monkeypatch.setenv("BULKHEAD_TORCH_INDEX", told)
    said = subprocess.check_output([sys.executable, torch_index.__file__], text=True)
    assert said.split() == [torch_index.TORCH, *words]
