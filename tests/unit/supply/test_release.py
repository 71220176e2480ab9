"""A release on a registry of loopback, by cosign and a key: what is not the signer's is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from chart_objects import helm, needed
from registry import PROGRAM, push, registry

from release.build import bake
from release.chart import contents, package
from release.chart import push as push_chart
from release.chart import write as write_values
from release.manifest import ManifestError, Release
from release.override import built, write
from release.signer import Key, SignatureError, Workflow, sign, verify
from supply.finding import ROOT

COSIGN = shutil.which("cosign")
real = pytest.mark.skipif(not (COSIGN and PROGRAM), reason="cosign or docker-registry is not here")
DIGEST = "sha256:" + "a" * 64
PARTS = sorted(set(built().values()))


def bom(folder: Path, *names: str) -> Path:
    path = folder / "part.lock.cdx.json"
    components = [{"type": "library", "name": name, "version": "1"} for name in names]
    path.write_text(
        json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components})
    )
    return path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


def pair(folder: Path) -> tuple[Key, Key]:
    folder.mkdir(exist_ok=True)
    assert COSIGN
    subprocess.run([COSIGN, "generate-key-pair"], cwd=folder, check=True, capture_output=True)
    return Key(folder / "cosign.key"), Key(folder / "cosign.pub")


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")


@real
def test_only_what_the_signer_released_verifies(shelf: str, tmp_path: Path) -> None:
    private, public = pair(tmp_path / "ours")
    _, other = pair(tmp_path / "theirs")
    image = push(shelf, "bulkhead/retriever", a="as it was")
    with pytest.raises(SignatureError, match=r"no signatures|not found"):
        verify(image, public)

    sign(image, private, [])
    with pytest.raises(SignatureError):  # signed, but nobody said what is in it
        verify(image, public)
    sign(image, private, [bom(tmp_path, "cranes", "berths")])
    assert verify(image, public) == 2
    with pytest.raises(SignatureError):
        verify(image, other)
    altered = push(shelf, "bulkhead/retriever", a="another's")
    with pytest.raises(SignatureError):
        verify(altered, public)
    with pytest.raises(SignatureError):  # the signature of one image says nothing of another
        verify(f"{shelf}/bulkhead/retriever@{DIGEST}", public)


@real
def test_an_empty_sbom_is_none(shelf: str, tmp_path: Path) -> None:
    private, public = pair(tmp_path / "ours")
    image = push(shelf, "bulkhead/ingress", a="b")
    sign(image, private, [bom(tmp_path)])
    with pytest.raises(SignatureError, match="names nothing"):
        verify(image, public)


def run(script: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"release.{script}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True)


@real
@pytest.mark.timeout(600)
def test_the_commands_sign_verify_and_write_what_runs_just_these_images(
    shelf: str, tmp_path: Path
) -> None:
    pair(tmp_path / "ours")
    pair(tmp_path / "theirs")
    private, public = tmp_path / "ours/cosign.key", tmp_path / "ours/cosign.pub"
    images = {part: push(shelf, f"release/{part}", a=part) for part in PARTS}
    manifest, boms = tmp_path / "release.json", tmp_path / "boms"
    Release("1.2.3", "f" * 40, images).save(manifest)
    override = ROOT / "compose.release.yaml"
    assert not override.exists(), "of another release; it would be overwritten"
    boms.mkdir()
    done = run("sign", manifest, boms, "--key", private, "--public", public)
    assert done.returncode == 2, done.stdout + done.stderr  # no SBOM of the first part
    for part in PARTS:
        bom(boms, "cranes").rename(boms / f"{part}.image.cdx.json")
    done = run("sign", manifest, boms, "--key", private, "--public", public)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        done = run("verify", manifest, "--key", public)
        assert done.returncode == 0, done.stdout + done.stderr
        services = yaml.load(override.read_text(), Loader=yaml.BaseLoader)["services"]
        assert {one["image"] for one in services.values()} == set(images.values())

        done = run("verify", manifest, "--key", tmp_path / "theirs/cosign.pub")
        assert done.returncode == 1
        assert "✗ retriever" in done.stdout
        assert not override.exists()  # nothing is left that would run it
    finally:
        override.unlink(missing_ok=True)


def test_the_override_resets_each_build_and_lacks_no_part(tmp_path: Path) -> None:
    images = {part: f"ghcr.io/a/{part}@{DIGEST}" for part in PARTS}
    write(Release("1", "c", images), tmp_path / "o.yaml")
    text = (tmp_path / "o.yaml").read_text()
    assert text.count("build: !reset") == len(built())
    with pytest.raises(ManifestError, match="has no retriever"):
        del images["retriever"]
        write(Release("1", "c", images), tmp_path / "o.yaml")


@pytest.mark.skipif(shutil.which("docker") is None, reason="no Docker Compose is here")
def test_compose_takes_the_override(tmp_path: Path) -> None:
    images = {part: f"ghcr.io/a/{part}@{DIGEST}" for part in PARTS}
    write(Release("1", "c", images), tmp_path / "o.yaml")
    command = ["docker", "compose", "-f", "compose.yaml", "-f", str(tmp_path / "o.yaml"), "config"]
    done = subprocess.run(
        [*command, "--format=json"], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert not any("build" in service for service in services.values())
    assert services["retriever"]["image"] == images["retriever"]


@pytest.mark.parametrize(
    "images",
    [{}, {"a": "ghcr.io/a/b:1"}, {"a": f"b@{DIGEST}"}, {"a": f"ghcr.io/a/b@{DIGEST}; rm -rf /"}],
)
def test_a_release_names_images_by_digest_and_nothing_else(images: dict[str, str]) -> None:
    with pytest.raises(ManifestError):
        Release("1", "c", images)


def test_a_file_that_is_no_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    for text in ("", "[]", "{}", '{"version": "1", "commit": "c", "images": []}'):
        path.write_text(text)
        with pytest.raises(ManifestError):
            Release.load(path)


def test_a_workflow_is_believed_by_its_whole_identity(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text("identity = ''\nissuer = 'https://issuer'\n")
    with pytest.raises(SignatureError, match="names no identity"):
        Workflow.load(path)
    path.write_text(r"identity = 'https://host/a\.yml@refs/tags/v1'" + "\nissuer = 'https://i'\n")
    assert Workflow.load(path).verifying() == [
        "--certificate-identity-regexp",
        r"^https://host/a\.yml@refs/tags/v1$",
        "--certificate-oidc-issuer",
        "https://i",
    ]


def test_every_image_is_built_once_for_each_platform_with_sbom_and_provenance() -> None:
    parts = {part: service for service, part in built().items()}
    command = bake("ghcr.io/a/b", "1.2", parts, "linux/amd64,linux/arm64", "/tmp/m")
    assert {"--sbom=true", "--provenance=mode=max"} <= set(command)
    assert sorted(command[-len(parts) :]) == sorted(parts.values())
    for part, service in parts.items():
        assert f"--set={service}.tags=ghcr.io/a/b/{part}:1.2" in command
        assert f"--set={service}.platform=linux/arm64" in command


@real
@pytest.mark.timeout(600)
def test_the_chart_is_packed_with_the_releases_images_pushed_signed_and_verified(
    shelf: str, tmp_path: Path
) -> None:
    needed("helm3", "helm4")
    private, public = pair(tmp_path / "ours")
    images = {part: f"{shelf}/release/{part}@{DIGEST}" for part in PARTS}
    release = Release("1.2.3", "f" * 40, images)
    archive = package(release, tmp_path)
    pushed = push_chart(archive, f"{shelf}/charts", plain=True)
    assert pushed.startswith(f"{shelf}/charts/bulkhead@sha256:")
    with pytest.raises(SignatureError):
        verify(pushed, public)
    sign(pushed, private, [contents(release, tmp_path)])
    theirs = {"qdrant", "postgresql", "vllm", "valkey", "collector"}
    assert verify(pushed, public) == len(PARTS) + len(theirs)

    # What is installed with nothing set is the release, under either Helm, its links being files.
    for program in ("helm3", "helm4"):
        done = helm("template", "bulkhead", str(archive), program=program)
        assert done.returncode == 0, done.stderr
        assert f"{shelf}/release/retriever@{DIGEST}" in done.stdout
        assert 'app.kubernetes.io/version: "1.2.3"' in done.stdout
        assert "start.sh: |" in done.stdout
    later = f"{release.version}-next"
    other = package(replace(release, version=later), tmp_path)
    altered = push_chart(other, f"{shelf}/charts", plain=True)
    with pytest.raises(SignatureError):
        verify(altered, public)


def test_a_release_of_two_registries_is_no_chart(tmp_path: Path) -> None:
    images = {"retriever": f"ghcr.io/a/retriever@{DIGEST}", "parser": f"ghcr.io/b/parser@{DIGEST}"}
    with pytest.raises(ManifestError, match="not in one registry"):
        write_values(Release("1", "c", images), tmp_path / "values-images.yaml")
