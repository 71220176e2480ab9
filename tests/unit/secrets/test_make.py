"""The secrets maker on a real file system; handing a file over is noted instead of done."""

import os
from pathlib import Path

import pytest
from compose_file import mounts, rendered, services

from mcp_database.settings import DatabaseAddress
from secrets_maker.make import make
from secrets_maker.plan import PLAN, QDRANT, READING_ROLES, RETRIEVER


class Volumes:
    """Empty volumes, as at a first start."""

    def __init__(self, folder: Path) -> None:
        self.masters, self.volumes = folder / "masters", folder / "volumes"
        self.masters.mkdir()
        for service in {copy.service for secret in PLAN for copy in secret.copies}:
            (self.volumes / service).mkdir(parents=True)
        self.owned: dict[str, int] = {}

    def run(self) -> list[str]:
        return make(PLAN, self.masters, self.volumes, self._own)

    def _own(self, handle: int, uid: int, gid: int) -> None:
        assert os.fstat(handle).st_mode & 0o777 == 0o400, "handed over while others could read it"
        path = Path(f"/proc/self/fd/{handle}").readlink()
        name = path.name.removeprefix(".").removesuffix(".new")
        self.owned[f"{path.parent.name}/{name}"] = uid
        assert uid == gid or uid == os.getuid()

    def read(self, path: str) -> str:
        return (self.volumes / path).read_text()


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path)


def test_each_service_gets_its_own_files_for_its_user_alone(volumes: Volumes) -> None:
    assert volumes.run() == [secret.name for secret in PLAN]

    for secret in PLAN:
        for copy in secret.copies:
            path = volumes.volumes / copy.service / copy.file
            assert path.stat().st_mode & 0o777 == 0o400
            assert volumes.owned[f"{copy.service}/{copy.file}"] == copy.uid
    assert volumes.owned["retriever/api-key"] == RETRIEVER
    assert volumes.owned["qdrant/qdrant.yaml"] == QDRANT


def test_each_reading_role_of_the_sample_database_has_a_password() -> None:
    roles = DatabaseAddress.model_construct().roles()
    assert sorted(READING_ROLES) == sorted(roles.values())


def test_each_volume_of_secrets_is_in_compose_for_its_user_alone() -> None:
    config = services(rendered())
    mounted = {mount.source: mount.target for mount in mounts(config["secrets"])}
    for copy in {copy for secret in PLAN for copy in secret.copies}:
        assert mounted[f"{copy.service}-secrets"] == f"/volumes/{copy.service}"
        assert config[copy.service]["user"] == f"{copy.uid}:{copy.uid}"


def test_both_ends_hold_the_same_key_and_two_stacks_never_do(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        stack = Volumes(tmp_path / name)
        stack.run()
        key = stack.read("retriever/qdrant-api-key").strip()
        reads = stack.read("prometheus/qdrant-read-only-key").strip()
        assert stack.read("qdrant/qdrant.yaml") == (
            f"service:\n  api_key: {key}\n  read_only_api_key: {reads}\n"
        )
        assert len(key) == 43, "256 bits in URL-safe base64"
        keys |= {key, stack.read("retriever/api-key")}
    assert len(keys) == 4


def test_a_second_start_changes_no_secret(volumes: Volumes) -> None:
    volumes.run()
    before = {path: path.read_text() for path in volumes.volumes.rglob("*") if path.is_file()}

    assert volumes.run() == []
    assert {path: path.read_text() for path in before} == before


@pytest.mark.parametrize("harm", ["removed", "emptied", "changed", "left half-written"])
def test_a_harmed_copy_is_mended_from_its_master(volumes: Volumes, harm: str) -> None:
    volumes.run()
    key = volumes.volumes / "retriever" / "api-key"
    whole = key.read_text()
    if harm == "left half-written":
        (key.parent / ".api-key.new").write_text("bh_ha")
    else:
        key.unlink()
    if harm in ("emptied", "changed"):
        key.write_text("" if harm == "emptied" else "bh_guessed")

    volumes.run()

    assert key.read_text() == whole
    assert [path.name for path in key.parent.glob(".*")] == []


def test_a_master_that_was_cut_off_is_made_anew(volumes: Volumes) -> None:
    (volumes.masters / "api-key").touch()

    assert "api-key" in volumes.run()
    assert volumes.read("retriever/api-key").startswith("bh_")
