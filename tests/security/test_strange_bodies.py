"""Bodies that are too large, too deep, or hold what cannot be sent on: each refused at the door."""

import json
import re
import threading
from typing import Any
from unittest import mock

import orjson
import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from rig import SOUP, Api
from state import execute

from bulkhead.errors import InvalidValue
from retriever.api import approvals, chat, documents, feedback, jobs, keys, models, search
from retriever.api import body as reading
from retriever.api.body import JsonRoute
from retriever.settings import RetrieverSettings

HALF = r'"\ud800"'
DEEP = "[" * 100_000
JSON = "application/json"

CALLS = {
    "/v1/search": '{"query": "x", "filters": {"a": %s}}',
    "/v1/chat/completions": '{"messages": [{"role": "user", "content": "x"}], "logit_bias": %s}',
    "/v1/feedback": '{"response_id": "x", "vote": "up", "comment": %s}',
    "/v1/keys": '{"tenant": "acme", "role": "reader", "name": %s}',
    "/v1/approvals/x": '{"decision": %s}',
    "/v1/documents": '{"documents": [{"text": "x", "metadata": {"a": %s}}]}',
}
"""Every call with a JSON body, with a place for a value."""

VALUES = {
    HALF: 400,
    r'"\udc00x"': 400,
    r'{"\ud800": 1}': 400,
    "NaN": 400,
    "-Infinity": 400,
    "1e400": 400,
    "1" * 5000: 400,
    DEEP: 422,
    "[" * 500 + "]" * 500: 422,
    "{" + ",".join(f'"{n}":[]' for n in range(70_000)) + "}": 422,
}

CHARSETS = ["utf-7", "unicode_escape", "idna", "utf-16", "latin-1", "no-such", '"utf-8; x"']

SEARCHES: list[tuple[Any, int]] = [
    ({str(n): 1 for n in range(64)}, 200),
    ({str(n): 1 for n in range(65)}, 422),
    ({"not": {str(n): 1 for n in range(65)}}, 422),
    ({"a": 1, "not": {str(n): 1 for n in range(64)}}, 422),
    ({"source": ["x"] * 1000}, 200),
    ({"source": ["x"] * 1001}, 422),
    ({"source": ["x"] * 501, "not": {"title": ["x"] * 500}}, 422),
    ({"source": "x" * 1000}, 200),
    ({"source": "x" * 1001}, 422),
    ({"not": {"source": ["a", "x" * 1001]}}, 422),
    ({"not": {"not": {"source": "x"}}}, 422),
    ({"a" * 500_000: 1}, 422),
    ({"a" * 500_000: []}, 422),
    ({"a": {"gte": 1, "lt": 5, "any_of": [1, 2], "none_of": [3], "exists": True}}, 200),
    ({"a": {"any_of": ["x"] * 501}, "b": {"none_of": ["x"] * 500}}, 422),
    ({"a": {"gt": "x" * 1001}}, 422),
    ({"a": {"gt": "0" * 900_000}}, 422),
    ({"a": {"x" * 900_000: 1}}, 422),
    ({"a": {str(n): n for n in range(10_000)}}, 422),
    ({"a": {"any_of": {"any_of": [1]}}}, 422),
    ({"a": [[[[1]]]]}, 422),
    ({"a": {"gt": -1e308}}, 422),
    ({"a": 2**64}, 422),
    ({"a": 2**70}, 422),
    ({"a": -(2**63)}, 200),
    ({"a": -(2**63) - 1}, 422),
    ({"a": {"none_of": [-(2**63) - 1]}}, 422),
]

METADATA: list[tuple[str, int, str]] = [
    (HALF, 422, "metadata"),
    ('{"a": "\\ud800"}', 422, "metadata"),
    ('{"a": NaN}', 422, "metadata"),
    ('{"a": 1e400}', 422, "metadata"),
    (DEEP, 422, "values"),
    ("[" * 1000 + "]" * 1000, 422, "nested"),
    (json.dumps({"a": "x" * 1001}), 422, "metadata.a: a text has at most 1000"),
    (json.dumps({"a": 2**70}), 422, "metadata.a: a number"),
    (json.dumps({"a": -(2**63) - 1}), 422, "metadata.a: a number"),
    (json.dumps({"a" * 65: 1}), 422, "metadata.aaa"),
    (json.dumps({"a" * 60_000: 1}), 422, "metadata.aaa"),
    (json.dumps({str(n): 1 for n in range(65)}), 422, "metadata"),
    (json.dumps({str(n): "x" * 1000 for n in range(17)}), 422, "metadata: it has at most 16384"),
    (json.dumps({str(n): "é" * 1000 for n in range(9)}), 422, "metadata: it has at most 16384"),
    (json.dumps({str(n): "x" * 1000 for n in range(16)}), 202, ""),
    ('{"a": {"b": 1}}', 422, "metadata.a: a value is text, a number,"),
    ('{"a": [[1]]}', 422, "metadata.a: a list holds texts, numbers, true and false"),
    ('{"a": [null]}', 422, "metadata.a: a list holds"),
    ('{"a": [1, {"b": 1}]}', 422, "metadata.a: a list holds"),
    (json.dumps({"a": ["x", "x" * 1001]}), 422, "metadata.a: a text has at most 1000"),
    (json.dumps({"a": [2**70]}), 422, "metadata.a: a number"),
    (json.dumps({"a": 1e300}), 422, "metadata.a: a number"),
    (json.dumps({"a": list(range(9000))}), 422, "metadata: it has at most 16384"),
    ("[]", 422, "metadata"),
    ('"x"', 422, "metadata"),
    ("null", 422, "metadata"),
    (json.dumps({"a": 2**63 - 1, "b": -(2**63), "c": 1.5, "d": True, "e": "😀"}), 202, ""),
    (
        json.dumps({"a": None, "b": [], "c": ["x", 2**53 + 1, 1.5, False], "d": 5.0, "e": ""}),
        202,
        "",
    ),
    ('{"a": -0.0, "b": 1e17, "c": "2024-05-01"}', 202, ""),
]


def told(reply: Any) -> str:
    """The message of a refusal, which is in our own shape and short."""
    message: str = reply.json()["error"]["message"]
    assert len(reply.content) < 2000
    return message


def test_what_cannot_be_sent_on_is_refused_by_every_call(api: Api) -> None:
    for path, body in CALLS.items():
        for value, status in VALUES.items():
            reply = api.post(path, content=body % value, headers={"Content-Type": JSON})
            if value is DEEP and path == "/v1/documents":  # it may hold more, so it is read
                status = 400
            assert reply.status_code == status, (path, value[:20], reply.text[:300])
            assert told(reply)
    for earlier, status in ((HALF, 400), (DEEP, 422), ("NaN", 400)):
        turns = f'[{{"role": "user", "content": {earlier}}}, {{"role": "user", "content": "x"}}]'
        body = f'{{"messages": {turns}}}'
        reply = api.post("/v1/chat/completions", content=body, headers={"Content-Type": JSON})
        assert reply.status_code == status, earlier[:20]
    for field in ("title", "source"):
        body = f'{{"documents": [{{"text": "x", "{field}": {HALF}}}]}}'
        reply = api.post("/v1/documents", content=body, headers={"Content-Type": JSON})
        assert reply.status_code == 400, field
    assert api.get("/v1/documents").json()["data"] == []


def test_json_is_utf8_and_nothing_else(api: Api) -> None:
    for charset in CHARSETS:
        kinds = [(path, f"{JSON}; charset={charset}") for path in CALLS]
        kinds.append(("/v1/documents", f"multipart/form-data; boundary=b; charset={charset}"))
        twice = f"{JSON}; charset=utf-8; charset={charset}"
        for path, kind in [*kinds, ("/v1/documents", twice)]:
            reply = api.post(path, content=b'{"query": "x"}', headers={"Content-Type": kind})
            assert reply.status_code == 415, (path, kind, reply.text)
            told(reply)
    for charset in ("utf-8", "UTF-8", '"utf-8"'):
        kind = f"{JSON}; charset={charset}"
        reply = api.post("/v1/search", content='{"query": "é"}', headers={"Content-Type": kind})
        assert reply.status_code == 200, charset
    reply = api.post("/v1/search", content=b'{"query": "\xe9"}', headers={"Content-Type": JSON})
    assert reply.status_code == 400


FIELDS: list[tuple[bytes, bytes, int]] = [
    (b"application/json; charset=latin-1", b"{}", 415),
    (b"application/json; charset=utf-7", b"{}", 415),
    (b"text/plain; charset=utf-8; charset=idna", b"{}", 415),
    (b"application/json", b'{"a": "\xe9"}', 415),
    (b"application/json", b'{"a": "\xc3', 415),
    (b"application/json; charset=UTF-8", '{"a": "é"}'.encode(), 202),
    (b"", '{"a": "é"}'.encode(), 202),
]


def test_a_multipart_field_is_utf8_and_a_file_is_what_it_is(api: Api) -> None:
    def part(name: bytes, kind: bytes, content: bytes) -> bytes:
        says = b"\r\nContent-Type: %b" % kind if kind else b""
        return b"--b\r\nContent-Disposition: form-data; name=%b%b\r\n\r\n%b\r\n" % (
            name, says, content,
        )  # fmt: skip

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for n, (kind, content, status) in enumerate(FIELDS):
        words = f"Caf\xe9 number {n}.".encode("latin-1")
        file = part(b'"files"; filename="%d.txt"' % n, b"text/plain; charset=latin-1", words)
        for parts in (
            [part(b'"metadata"', kind, content), file],
            [file, part(b'"metadata"', kind, content)],
        ):
            body = b"".join([*parts, b"--b--\r\n"])
            reply = api.post("/v1/documents", content=body, headers=headers)
            assert reply.status_code == status, (kind, content, reply.text)
            if status == 202:
                assert api.finished(reply.json()["id"])["counts"]["failed"] == 0
            else:
                told(reply)
    read = {api.text(one["id"]) for one in api.get("/v1/documents").json()["data"]}
    assert read == {"Café number 5.", "Café number 6."}
    assert {str(one["metadata"]) for one in api.get("/v1/documents").json()["data"]} == {
        "{'a': 'é'}"
    }


def test_more_values_than_may_be_are_counted_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(orjson, "loads", read)
    for value in (b"[],", b"{},", b'"a",', b'"\\"",', b'"\\\\",', b"1,", b'{"a":1},'):
        many = b'{"documents": [' + value * 500_000 + b"1]}"
        with pytest.raises(InvalidValue, match="at most 200,000 values"):
            reading.parsed(many, 200_000)
    with pytest.raises(AssertionError, match="it was read"):  # commas in a text are no values
        reading.parsed(b'{"text": "' + b"one, [two], {three}, " * 300_000 + b'"}', 200_000)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text('a,[{"\\é', max_size=6)
VALUES_OF_ALL_KINDS = st.recursive(
    LEAVES, lambda one: st.lists(one) | st.dictionaries(st.text('a,"\\', max_size=3), one)
)


@given(VALUES_OF_ALL_KINDS, st.integers(1, 9))
def test_signs_are_counted_outside_of_strings_wherever_a_piece_ends(value: Any, piece: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    there = sum(map(outside.count, ",[{"))
    with mock.patch.object(reading, "_PIECE", piece):
        assert reading._signs(text.encode(), there) <= there
        assert there == 0 or reading._signs(text.encode(), there - 1) == there


def test_a_large_body_of_texts_is_read_beside_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(text: bytes | str, most: int = reading.MOST_VALUES) -> Any:
        threads.append(threading.current_thread().name)
        return reading.parsed(text, most)

    monkeypatch.setattr(documents, "parsed", noted)
    assert api.ingest({"text": SOUP, "source": "soup"})["counts"]["added"] == 1
    assert len(threads) == 1 and "(run)" not in threads[0]  # as the server's own is called


def test_filters_are_bounded(api: Api) -> None:
    for filters, status in SEARCHES:
        reply = api.post("/v1/search", json={"query": "x", "filters": filters})
        assert reply.status_code == status, (str(filters)[:60], reply.text[:300])
        assert status == 200 or "filters" in told(reply)


def test_metadata_is_bounded_in_files_and_in_texts(api: Api) -> None:
    for n, (metadata, status, words) in enumerate(METADATA):
        files = {"files": (f"{n}.txt", b"Soup.", "text/plain")}
        reply = api.post("/v1/documents", files=files, data={"metadata": metadata})
        assert reply.status_code == status, (metadata[:40], reply.text[:300])
        if status != 202:
            assert words in told(reply), (words, reply.text)
        body = f'{{"documents": [{{"text": "x{n}", "metadata": {metadata}}}]}}'
        reply = api.post("/v1/documents", content=body, headers={"Content-Type": JSON})
        if status == 202:
            job = api.finished(reply.json()["id"])
            assert job["counts"]["added"] == 1, job
        else:
            assert reply.status_code in (400, 422), (metadata[:40], reply.text[:300])
            told(reply)
    two = {"files": ("a.txt", b"Soup."), "metadata": ("m.json", b"{}")}
    reply = api.post("/v1/documents", files=two)
    assert (reply.status_code, "not a file" in told(reply)) == (422, True)
    listed = api.get("/v1/documents").json()["data"]
    kept = [json.dumps(one["metadata"], sort_keys=True) for one in listed]
    for stored in (
        {"a": 2**63 - 1, "b": -(2**63), "c": 1.5, "d": True, "e": "😀"},
        {"a": None, "b": [], "c": ["x", 2**53 + 1, 1.5, False], "d": 5, "e": ""},
        {"a": 0, "b": 10**17, "c": "2024-05-01"},
    ):
        assert json.dumps(stored, sort_keys=True) in kept


def test_only_uploads_may_be_large(api: Api) -> None:
    large = "x" * 2**20
    for path in CALLS:
        if path == "/v1/documents":
            continue
        assert api.post(path, json={"comment": large}).status_code == 413, path
        pieces = (b"x" * 2**16 for _ in range(17))
        reply = api.post(path, content=pieces, headers={"Content-Type": JSON})
        assert (reply.status_code, reply.json()["error"]["type"]) == (413, "too_large"), path
    turn = {"role": "user", "content": "x" * 1000}
    many = {"messages": [turn] * 1100}
    assert api.post("/v1/chat/completions", json=many).status_code == 413
    reply = api.post("/v1/documents", json={"documents": [{"text": large}]})
    assert reply.status_code == 202


def test_what_an_earlier_release_took_is_listed_readably(
    filled: Api, settings: RetrieverSettings
) -> None:
    strange = r'{"a": "x\ud800", "b": "y", "d": 1}'
    execute(settings.database_url, f"UPDATE documents SET metadata = '{strange}'")
    readable = {"a": "x\N{REPLACEMENT CHARACTER}", "b": "y", "d": 1}
    listed = filled.get("/v1/documents").json()["data"]
    assert [one["metadata"] for one in listed] == [readable] * 2
    assert filled.get(f"/v1/documents/{listed[0]['id']}").json()["metadata"] == readable
    found = filled.post("/v1/search", json={"query": SOUP}).json()["results"]
    assert found[0]["source"] == "canteen.txt"


def test_every_call_with_a_body_reads_it_so() -> None:
    routers = (approvals, chat, documents, feedback, jobs, keys, models, search)
    routes = [route for one in routers for route in one.router.routes]
    with_body = [one for one in routes if isinstance(one, APIRoute) and one.body_field]
    assert len(with_body) == len(CALLS) - 1  # documents read theirs themselves
    assert all(isinstance(one, JsonRoute) for one in with_body)
