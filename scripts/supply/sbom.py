"""What each part is made of, as CycloneDX 1.6: from its lock with hashes, from its image; models.

https://cyclonedx.org/docs/1.6/json. The locks' by cyclonedx-py, the images' by Trivy; the models
are components of type `machine-learning-model`, known by the SHA-256 of their file.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fetcher.catalogue import CATALOGUE
from supply.finding import ROOT, tracked
from supply.locks import LOCK
from supply.tools import tool

Bom = dict[str, Any]


class SbomError(Exception):
    """A tool could not make one."""


class Change(NamedTuple):
    """A component that differs between two SBOMs; a side that lacks it is empty."""

    name: str
    before: str
    after: str


def of_locks(root: Path = ROOT) -> Iterator[tuple[str, Bom]]:
    """Each part's name and the SBOM of its lock. Raises `SbomError`."""
    for lock in tracked(root):
        folder = lock.parent.relative_to(root)
        if lock.name == LOCK and folder.parts[:1] in {("services",), ("mcp_tools",)}:
            command = [tool("cyclonedx-py"), "requirements", "--spec-version", "1.6"]
            command += ["--output-reproducible", "--output-format", "JSON", str(lock)]
            part = f"mcp-{folder.name}" if folder.parts[0] == "mcp_tools" else folder.name
            yield part, json.loads(_output(command))


def of_image(reference: str) -> Bom:
    """The SBOM of an image in a registry or of the engine. Raises `SbomError`."""
    command = [tool("trivy"), "image", "--quiet", "--offline-scan", "--format", "cyclonedx"]
    command += ["--skip-version-check", reference]
    return dict(json.loads(_output(command)))


def of_models() -> Bom:
    """The models that a setting can name by one word; what a deployment names is its own."""
    components = [
        {
            "type": "machine-learning-model",
            "bom-ref": file.sha256,
            "name": name,
            "version": file.revision,
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            "purl": f"pkg:huggingface/{file.repository}@{file.revision}#{file.name}",
        }
        for name, file in CATALOGUE.items()
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


def changes(before: Bom, after: Bom) -> list[Change]:
    """Components that came, went, or have another version or another file, by name."""
    old, new = _known(before), _known(after)
    return [
        Change(name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _known(bom: Bom) -> dict[str, str]:
    """By kind and name, the version; of one that is known by its file alone, the digest too."""
    found: dict[str, list[str]] = {}
    for one in bom.get("components", []):
        kind = str(one.get("purl", "")).split("@")[0].split("?")[0] or one["type"]
        name = kind if kind.endswith(one["name"]) else f"{kind} {one['name']}"
        said = str(one.get("version", ""))
        if one["type"] == "machine-learning-model":
            said += " " + "".join(digest["content"] for digest in one["hashes"])
        found.setdefault(name, []).append(said)
    return {name: ", ".join(sorted(said)) for name, said in found.items()}


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SbomError(f"{Path(command[0]).name}: {done.stderr.strip()[-300:]}")
    return done.stdout
