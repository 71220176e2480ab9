"""What runs against what was released."""

import json

import pytest
from walled import container

from release.manifest import Release
from sandbox import released
from sandbox.engine import Container, Result
from sandbox.scorecard import Verdict

OURS, OTHERS = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RELEASE = Release("1", "c", {"retriever": f"ghcr.io/a/retriever@{OURS}"})


def verdicts(monkeypatch: pytest.MonkeyPatch, one: Container, *digests: str) -> list[Verdict]:
    pulled = json.dumps([f"ghcr.io/a/x@{digest}" for digest in digests] or None)
    monkeypatch.setattr(released, "docker", lambda *_: Result(0, pulled))
    found = released.released([one], RELEASE, {"retriever": "retriever", "parser": "parser"})
    return [finding.verdict for finding in found]


def named(service: str, image: str) -> Container:
    plain = container()
    facts = plain.facts | {"Config": plain.facts.get("Config", {}) | {"Image": image}}
    return Container(service, plain.id, plain.image, plain.places, facts)


def test_an_image_of_the_release_holds_and_another_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = named("retriever", "bulkhead/retriever")
    assert verdicts(monkeypatch, ours, OURS) == [Verdict.HOLDS]
    assert verdicts(monkeypatch, ours, OTHERS, OURS) == [Verdict.HOLDS]
    assert verdicts(monkeypatch, ours, OTHERS) == [Verdict.OPEN]
    assert verdicts(monkeypatch, ours) == [Verdict.OPEN]  # built here
    assert verdicts(monkeypatch, named("parser", "x"), OURS) == [Verdict.OPEN]  # of no release


def test_somebody_else_s_image_is_the_one_that_its_digest_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = named("qdrant", f"qdrant/qdrant:v1@{OTHERS}")
    assert verdicts(monkeypatch, theirs, OTHERS) == [Verdict.HOLDS]
    assert verdicts(monkeypatch, theirs, OURS) == [Verdict.OPEN]
    assert verdicts(monkeypatch, named("qdrant", "qdrant/qdrant:v1"), OTHERS) == [Verdict.OPEN]
