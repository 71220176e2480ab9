"""What a caller says in the head of a request, and in a document's source: all of it is theirs."""

import json
import logging
import re
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import TraceFlags
from rig import KEY, Api, running
from scripted_llm import ScriptedLLM
from telemetry import Recorded

from bulkhead.telemetry.propagation import OwnWords
from bulkhead.telemetry.setup import EVERY_REQUEST
from retriever.settings import RetrieverSettings

SECRET = f"bh_{secrets.token_urlsafe(32)}"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BEARER = f"Bearer {KEY}"


@pytest.fixture
def anyone(api: Api) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=api.base_url, timeout=60) as anyone:
        yield anyone


def test_many_who_ask_whether_it_is_ready_cost_its_neighbours_one_question_a_second(
    api: Api, llm: ScriptedLLM
) -> None:
    asked, began = llm.listed, time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        url = f"{api.base_url}/readyz"
        replies = list(pool.map(lambda _: httpx2.get(url, timeout=60), range(300)))
    assert {reply.status_code for reply in replies} == {200}
    assert 0 < llm.listed - asked <= 2 + (time.monotonic() - began)


@pytest.fixture
def recorded() -> Recorded:
    """A provider of traces, which the process has: without one no baggage is read."""
    return Recorded()


def test_one_key_is_sent_once(anyone: httpx2.Client) -> None:
    for status, *headers in (
        (200, ("Authorization", BEARER)),
        (200, ("api-key", KEY)),
        (401, ("Authorization", BEARER), ("Authorization", BEARER)),
        (401, ("Authorization", BEARER), ("authorization", "Bearer bh_other")),
        (401, ("Authorization", "Basic x"), ("AUTHORIZATION", BEARER)),
        (401, ("Authorization", ""), ("Authorization", BEARER)),
        (401, ("Authorization", BEARER), ("api-key", KEY)),
        (401, ("api-key", KEY), ("api-key", KEY)),
    ):
        reply = anyone.get("/v1/models", headers=headers)
        assert reply.status_code == status, headers


def test_a_request_id_is_an_id_and_no_key(api: Api) -> None:
    for kept in ("abc-1", "A.b_c-9", "task-12", "desk-7f3e", "x" * 64, "550e8400-e29b-41d4-a716"):
        reply = api.get("/healthz", headers={"X-Request-ID": kept})
        assert reply.headers["X-Request-ID"] == kept
    for replaced in (
        f"a:{SECRET}", f"a.{SECRET}", f"a_{SECRET}", f"a{SECRET}", SECRET, SECRET[:9],
        SECRET.upper(), "sk-abc",
        "a.sk-proj-" + "b" * 30, "ghp_" + "c" * 36, "x_ghp_" + "c" * 36, "glpat-abc",
        "AKIA" + "A" * 16, "a:b", "a b", "x" * 65, "",
    ):  # fmt: skip
        reply = api.get("/healthz", headers={"X-Request-ID": replaced})
        assert re.fullmatch("[0-9a-f]{32}", reply.headers["X-Request-ID"]), replaced


def test_a_key_in_a_head_reaches_no_log_no_audit_and_no_span(
    recorded: Recorded, settings: RetrieverSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(settings.model_copy(update={"hosts": "*"})) as api:
        for path in (f"/v1/documents/{SECRET}", f"/v1/jobs/x{SECRET}/events", f"/{SECRET}",
                     f"/v1/models?key={SECRET}", f"/v1/documents/%62h_{SECRET[3:]}"):  # fmt: skip
            api.get(path)
        for header in ("X-Request-ID", "Host", "User-Agent", "tracestate", "baggage"):
            value = {"tracestate": f"a={SECRET}", "baggage": f"a={SECRET}"}.get(header, SECRET)
            api.get(
                "/v1/models", headers={header: value, "traceparent": f"00-{TRACE}-{'1' * 16}-01"}
            )
    logged = "".join(
        str(vars(record)) for record in caplog.records if record.name[:8] == "bulkhead"
    )
    audited = (settings.data_dir / "audit.jsonl").read_text()
    traced = "".join(span.to_json() for span in recorded.spans())
    assert "[bulkhead key removed]" in logged and "[bulkhead key removed]" in traced
    assert "/v1/models" in traced and "document.read" in audited
    for kept in (logged, audited, traced):
        assert SECRET[3:] not in kept


def test_no_caller_hides_a_request_from_tracing() -> None:
    tracer = TracerProvider(sampler=EVERY_REQUEST).get_tracer("test")
    for flags, parent in (("00", TRACE), ("01", TRACE), ("02", TRACE)):
        carrier = {"traceparent": f"00-{parent}-00f067aa0ba902b7-{flags}"}
        with tracer.start_as_current_span("served", OwnWords().extract(carrier)) as span:
            context = span.get_span_context()
            assert f"{context.trace_id:032x}" == TRACE
            assert context.trace_flags & TraceFlags.SAMPLED, flags
            child = tracer.start_span("inside").get_span_context()
            assert child.trace_flags & TraceFlags.SAMPLED


def test_the_model_server_gets_our_words_and_none_of_the_callers(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    for sent, traffic in (
        ("rag.traffic=canary", "canary"),
        ("session=marzipan,rag.traffic=canary", "canary"),
        ("rag.traffic=canary;note=marzipan", None),
        ("rag.traffic=marzipan", None),
        ("bulkhead.tenant=marzipan,bulkhead.request_id=marzipan,RAG.traffic=marzipan", None),
    ):
        headers = {"traceparent": f"00-{TRACE}-{'1' * 16}-01", "tracestate": "a=marzipan"}
        question = {"messages": [{"role": "user", "content": "Which port has the retriever?"}]}
        llm.headers.clear()
        asked = filled.post(
            "/v1/chat/completions", json=question, headers={**headers, "baggage": sent}
        )
        assert asked.status_code == 200
        (told,) = llm.headers
        assert "marzipan" not in json.dumps(told), sent
        words = dict(word.split("=") for word in told["baggage"].split(","))
        assert words.get("rag.traffic") == traffic
        assert words["bulkhead.tenant"] == "default"
        assert words["bulkhead.request_id"] == asked.headers["X-Request-ID"]


def test_no_document_calls_itself_a_tools_result(api: Api) -> None:
    for source in (
        "tool:database/query", "TOOL:x", "  tool:x", "\u00a0tool : x", "t\u200bool:x",
        "\uff54\uff4f\uff4f\uff4c\uff1ax", "\ntool:", "\ufefftool:x",
    ):  # fmt: skip
        for document in ({"text": "x", "source": source}, {"text": "x", "title": source}):
            reply = api.post("/v1/documents", json={"documents": [document]})
            assert (reply.status_code, reply.json()["error"]["type"]) == (422, "invalid_value")
    for name in ("tool:database/query", "Tool:x.txt"):
        assert api.post("/v1/documents", files={"files": (name, b"x")}).status_code == 422
    assert not list(api.get("/v1/documents").json()["data"])
    job = api.ingest(
        {"text": "one", "source": "tools/hammer.md"},
        {"text": "two", "source": "wiki/tool:hammer"},
        {"text": "three", "source": "kit", "title": "Tool: a hammer"},
    )
    assert job["counts"]["added"] == 3


def test_no_page_frames_the_apis_description_and_no_script_but_its_own_runs(
    anyone: httpx2.Client,
) -> None:
    for path in ("/docs", "/docs/oauth2-redirect", "/openapi.json",
                 "/static-offline-docs/swagger-ui.css"):  # fmt: skip
        reply = anyone.get(path)
        policy = reply.headers["Content-Security-Policy"]
        scripts = policy.partition("script-src")[2].partition(";")[0]
        assert reply.status_code == 200 and "frame-ancestors 'none'" in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "unsafe" not in scripts and "*" not in policy
        assert ("sha256-" in scripts) == reply.headers["content-type"].startswith("text/html")
    assert "Content-Security-Policy" not in anyone.get("/healthz").headers


def test_no_redirect_follows_the_host_that_a_caller_names(settings: RetrieverSettings) -> None:
    with running(settings.model_copy(update={"hosts": "*"})) as api:
        for path in (
            "/v1/documents/",
            "/v1/jobs/",
            "/docs/",
            "/web",
            "/healthz/",
        ):
            reply = api.get(path, headers={"Host": "evil.test"})
            assert reply.status_code == 404 and "location" not in reply.headers, path


def test_a_retriever_on_loopback_answers_to_loopback_names(anyone: httpx2.Client) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8080", "[::1]"):
        assert anyone.get("/healthz", headers={"Host": host}).status_code == 200, host
    for host in ("evil.test", "evil.test:8080", "localhost.evil.test", "127.0.0.1.evil.test",
                 "localhost:1:2", "evil.test:80@localhost", "", "::1"):  # fmt: skip
        for path in ("/healthz", "/", "/docs", "/v1/models"):
            reply = anyone.get(path, headers={"Host": host})
            assert reply.status_code in (400, 421), (host, path)
    at = anyone.base_url
    for hosts in ("", "Host: localhost\r\nHost: evil.test\r\n"):
        with socket.create_connection((at.host, at.port or 80), 20) as one:
            one.sendall(f"GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert one.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 421")), hosts
    reply = anyone.get("/healthz", headers={"Host": "evil.test"})
    assert reply.json()["error"]["type"] == "misdirected_request"


def test_the_names_that_are_served_are_those_set_or_follow_the_address() -> None:
    loopback = {"127.0.0.1", "localhost", "[::1]"}
    for told, names in (
        ({}, loopback),
        ({"host": "::1"}, loopback),
        ({"host": "127.0.0.2"}, {*loopback, "127.0.0.2"}),
        ({"host": "0.0.0.0"}, set()),
        ({"host": "0.0.0.0", "hosts": "rag.example, Retriever"}, {"rag.example", "retriever"}),
        ({"hosts": "rag.example"}, {"rag.example"}),
        ({"hosts": "*"}, set()),
    ):
        assert RetrieverSettings.model_validate(told).served_hosts() == names, told
