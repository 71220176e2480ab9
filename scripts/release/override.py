"""A compose override that runs the images of a release, and builds none."""

from pathlib import Path

import yaml

from release.manifest import ManifestError, Release
from supply.finding import ROOT


class _Reset:
    """Compose's `!reset`: the key is as if it had never been there."""


def _dumper() -> type[yaml.SafeDumper]:
    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(_Reset, lambda dumper, _: dumper.represent_scalar("!reset", "null"))
    return Dumper


def built(compose: Path = ROOT / "compose.yaml") -> dict[str, str]:
    """The services of the compose file that are built here, and the part that each is."""
    services = yaml.safe_load(compose.read_text())["services"]
    return {
        name: str(service["image"]).split(":")[0].rpartition("/")[2]
        for name, service in services.items()
        if "build" in service
    }


def write(release: Release, path: Path) -> None:
    """Raises `ManifestError` where the release lacks a part of compose.yaml."""
    parts = built()
    if missing := sorted(set(parts.values()) - set(release.images)):
        raise ManifestError(f"the release has no {', '.join(missing)}")
    services = {
        name: {"image": release.images[part], "build": _Reset()} for name, part in parts.items()
    }
    text = yaml.dump({"services": services}, Dumper=_dumper(), sort_keys=False)
    path.write_text(f"# Release {release.version}, commit {release.commit}.\n{text}")
