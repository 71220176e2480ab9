"""What clients call files: one name, however it is encoded."""

import unicodedata

import pytest
from starlette.datastructures import Headers, UploadFile

from retriever.api.names import filename, named

NAME = "Grüße aus Kiel.txt"


def upload(plain: str, disposition: str) -> UploadFile:
    headers = Headers({"content-disposition": disposition})
    return UploadFile(file=None, filename=plain, headers=headers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plain", "parameters"),
    [
        (NAME, f'filename="{NAME}"'),
        (unicodedata.normalize("NFD", NAME), 'filename="x"'),
        ("Gru_e.txt", "filename=\"Gru_e.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20aus%20Kiel.txt"),
        ("Gru_e.txt", "filename=\"Gru_e.txt\"; filename*=iso-8859-1'de'Gr%FC%DFe%20aus%20Kiel.txt"),
        ("=?utf-8?B?R3LDvMOfZSBhdXMgS2llbC50eHQ=?=", 'filename="x"'),
        ("=?iso-8859-1?Q?Gr=FC=DFe_aus_Kiel.txt?=", 'filename="x"'),
        ("=?utf-8?B?R3LDvMOfZSA=?= =?utf-8?Q?aus_Kiel.txt?=", 'filename="x"'),
    ],
)  # fmt: skip
def test_a_name_is_read_in_every_encoding_that_clients_use(plain: str, parameters: str) -> None:
    assert filename(upload(plain, f'form-data; name="files"; {parameters}')) == NAME


@pytest.mark.parametrize(
    "name", ["=?nonsense?B?R3LDvMOfZQ==?=", "a=?b.txt", "100%.txt", "a%20b.txt", "=?utf-8?B?!?="]
)
def test_a_name_that_only_looks_encoded_stays(name: str) -> None:
    assert filename(upload(name, f'form-data; name="files"; filename="{name}"')) == name


def test_composed_and_decomposed_letters_are_one_name() -> None:
    assert named(unicodedata.normalize("NFD", "Ångström.md")) == named("Ångström.md")
