"""Whether what runs is what was released: each image by its digest."""

import json
from collections.abc import Iterable, Iterator, Mapping

from release.manifest import Release
from sandbox.engine import Container, docker
from sandbox.scorecard import Finding, Verdict

WALL = "released"


def released(
    containers: Iterable[Container], release: Release, parts: Mapping[str, str]
) -> Iterator[Finding]:
    """Our images against a release, `parts` by service; those of others against any digest.

    The engine keeps by which digests an image was pulled; one that was built here has none. Raises
    `EngineError`.
    """
    for container in containers:
        asked = ("image", "inspect", "--format={{json .RepoDigests}}", container.image)
        had = {one.partition("@")[2] for one in json.loads(docker(*asked).output) or []}
        part = parts.get(container.service)
        name = container.facts["Config"]["Image"]
        wanted = release.images.get(part, "") if part else name
        digest = wanted.partition("@")[2]
        verdict = Verdict.HOLDS if digest and digest in had else Verdict.OPEN
        seen = ", ".join(sorted(had)) or "built here, from no registry"
        yield Finding(container.service, WALL, verdict, f"{name}: {seen}")
