"""A registry of images on loopback: Debian's `docker-registry`, the reference one."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from serving import free_port

PROGRAM = shutil.which("docker-registry")


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """It serves `folder` until the end; its address without a scheme, which tools take for HTTP."""
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    assert PROGRAM
    process = subprocess.Popen(
        [PROGRAM, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx2.get(f"http://{address}/v2/")
                break
            except httpx2.ConnectError:
                assert process.poll() is None, "docker-registry ended"
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def push(address: str, name: str, **files: str) -> str:
    """An image of one layer with these files; its reference with the digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            layer.addfile(entry, io.BytesIO(text.encode()))
    content = packed.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(content)]},
        }
    ).encode()
    kind = "application/vnd.oci.image"
    with httpx2.Client(base_url=f"http://{address}/v2/{name}") as client:
        for blob in (content, config):
            place = client.post("/blobs/uploads/").headers["Location"]
            goal = httpx2.URL(place).copy_add_param("digest", _digest(blob))
            client.put(goal, content=blob).raise_for_status()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": _described(f"{kind}.config.v1+json", config),
                "layers": [_described(f"{kind}.layer.v1.tar", content)],
            }
        ).encode()
        client.put(
            f"/manifests/{_digest(manifest)}",
            content=manifest,
            headers={"Content-Type": f"{kind}.manifest.v1+json"},
        ).raise_for_status()
    return f"{address}/{name}@{_digest(manifest)}"


def _described(kind: str, blob: bytes) -> dict[str, str | int]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
