"""What is asked for by its version, address, code or date comes first, whatever else is near.

The embedding service here hashes, so that meaning orders everything at random.
"""

from itertools import product

import pytest
from rig import Api

RELEASES = [f"{a}.{b}.{c}" for a, b, c in product((1, 2, 3), (0, 1, 2, 7, 10), (1, 2, 7, 10))]
ADDRESSES = [f"10.{a}.{b}.{c}" for a, b, c in product((0, 1), (0, 1, 20), (0, 1, 20))]
CODES = [f"HX-{n}-{letter}" for n, letter in product((2041, 2014, 4120), "ABCD")]
DATES = [f"2026-{month:02}-{day:02}" for month, day in product((1, 2, 11, 12), (1, 2, 11, 12, 21))]
ERRORS = [f"0x8007000{n:x}" for n in range(16)]


@pytest.mark.parametrize("kind", [RELEASES, ADDRESSES, CODES, DATES, ERRORS])
def test_the_text_that_holds_it_as_written_comes_first(api: Api, kind: list[str]) -> None:
    api.ingest(
        *(
            {"text": f"Changes in {name}: the gateway holds {n} more berths.", "source": name}
            for n, name in enumerate(kind)
        )
    )
    for name in kind:
        reply = api.post("/v1/search", json={"query": f"What changed in {name}?", "top_k": 2})
        first = reply.json()["results"][0]
        assert (first["source"], first["scores"]["exact"]) == (name, 1)


def test_the_section_of_a_long_changelog_is_found(api: Api) -> None:
    sections = (
        f"## {name}\n\n" + f"Berth {n} was given a lamp. " * 12 for n, name in enumerate(RELEASES)
    )
    text = "# Changelog\n\n" + "\n\n".join(sections)
    reply = api.post("/v1/documents", files=[("files", ("changes.md", text.encode()))])
    api.finished(reply.json()["id"])
    for name in RELEASES:
        body = {"query": f"What changed in {name}?", "top_k": 1}
        (first,) = api.post("/v1/search", json=body).json()["results"]
        assert f"## {name}\n" in first["text"]


@pytest.mark.parametrize("mode", ["hybrid", "sparse"])
def test_what_an_answer_is_made_from_begins_with_it(api: Api, mode: str) -> None:
    api.ingest(*({"text": f"Unit {name} hums.", "source": name} for name in CODES))
    reply = api.ask("Does HX-4120-C hum?", rag={"mode": mode, "top_k": 1})
    (shown,) = reply.json()["retrieval"]["results"]
    assert shown["source"] == "HX-4120-C"


def test_by_meaning_alone_nothing_is_put_first(api: Api) -> None:
    api.ingest(*({"text": f"Unit {name} hums.", "source": name} for name in CODES))
    body = {"query": "HX-4120-C", "mode": "dense", "top_k": 12}
    hits = api.post("/v1/search", json=body).json()["results"]
    assert {hit["scores"]["exact"] for hit in hits} == {None}
    assert hits == sorted(hits, key=lambda hit: -hit["score"])
