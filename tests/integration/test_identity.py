"""Keys, rate limits and the audit log over real HTTP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from people import People, people
from rig import KEY, SOUP, Api, running
from scripted_llm import ScriptedLLM
from telemetry import Recorded

from bulkhead.audit import AuditLog, read_head
from bulkhead.chain import verify
from retriever.settings import RetrieverSettings


@pytest.fixture
def team(api: Api) -> Iterator[People]:
    with people(api) as team:
        yield team


def log_of(settings: RetrieverSettings) -> list[dict[str, Any]]:
    """The audit log, verified."""
    path = settings.data_dir / "audit.jsonl"
    head = read_head(path)
    assert head is not None
    with path.open("rb") as lines:
        verify(lines, head)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_key_is_shown_once_rotated_and_revoked_at_once(api: Api, team: People) -> None:
    made = team.made("acme", "reader", "red", name="bot")
    reader = team.client(made["key"])
    assert reader.get("/v1/documents").status_code == 200
    listed = api.get("/v1/keys")
    assert made["key"] not in listed.text
    assert {"key", "digest"}.isdisjoint(listed.json()["data"][0])
    rotated = api.post(f"/v1/keys/{made['id']}/rotate").json()
    assert (rotated["id"], rotated["groups"]) == (made["id"], ["red"])
    assert reader.get("/v1/documents").status_code == 401
    reader = team.client(rotated["key"])
    assert reader.get("/v1/documents").status_code == 200
    assert api.delete(f"/v1/keys/{made['id']}").status_code == 204
    refused = reader.get("/v1/documents")
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert api.get("/v1/keys").json()["data"][0]["revoked_at"]


def test_roles_and_tenants_bound_what_a_key_may_do(api: Api, team: People) -> None:
    reader, writer = team.join("acme", "reader"), team.join("acme", "writer")
    acme, other = team.join("acme", "admin"), team.join("other", "admin")
    document = {"documents": [{"text": SOUP}]}
    assert reader.post("/v1/documents", json=document).status_code == 403
    assert reader.delete("/v1/documents/x").status_code == 403
    for low in (reader, writer):
        assert low.get("/v1/keys").status_code == 403
        body = {"tenant": "acme", "role": "admin"}
        assert low.post("/v1/keys", json=body).status_code == 403
    assert acme.post("/v1/keys", json={"tenant": "other", "role": "reader"}).status_code == 403
    own = acme.post("/v1/keys", json={"tenant": "acme", "role": "reader"}).json()
    unknown = other.delete(f"/v1/keys/key_{'0' * 32}").json()["error"]
    foreign = other.delete(f"/v1/keys/{own['id']}").json()["error"]
    assert (unknown["type"], unknown["message"]) == (foreign["type"], foreign["message"])
    assert api.delete("/v1/keys/admin").status_code == 404
    assert api.get("/v1/keys").status_code == 200


def test_a_stranger_is_refused_before_a_body_is_read(team: People) -> None:
    stranger = team.client("")
    for content in (b"{", b'{"query": "x"}', b""):
        assert stranger.post("/v1/search", content=content).status_code == 401
    assert stranger.get("/v1/anything").status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/search", {"query": "x" * 8001}, 422),
        ("/v1/search", {"query": "x", "top_k": 101}, 422),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 8001}]}, 422),
        ("/v1/keys", {"tenant": "x" * 65, "role": "reader"}, 422),
        ("/v1/keys", {"tenant": "x", "role": "operator"}, 422),
        ("/v1/keys", {"tenant": "x", "role": "reader", "groups": ["*"]}, 422),
        ("/v1/keys", {"tenant": "x", "role": "reader", "limits": {"requests_per_minute": 0}}, 422),
        ("/v1/keys", {"tenant": "x", "role": "reader", "name": "\ud800"}, 400),
    ],
)
def test_what_is_too_long_or_wrong_is_refused(
    api: Api, path: str, body: dict[str, Any], status: int
) -> None:
    reply = api.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert reply.status_code in (status, 422), reply.text


LIMITS = {"requests_per_minute": 1000, "tokens_per_minute": 1000, "documents_per_minute": 1000}


def test_a_key_over_its_limits_is_429_and_says_when_to_come_back(
    filled: Api, team: People, llm: ScriptedLLM
) -> None:
    busy = team.join("default", "writer", limits={**LIMITS, "requests_per_minute": 2})
    statuses = [busy.get("/v1/documents").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    refused = busy.get("/v1/documents")
    assert refused.json()["error"]["type"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert busy.get("/healthz").status_code == 200
    handing = team.join("default", "writer", limits={**LIMITS, "documents_per_minute": 2})
    two = {"documents": [{"text": "one"}, {"text": "two"}]}
    assert handing.post("/v1/documents", json=two).status_code == 202
    assert handing.post("/v1/documents", json=two).status_code == 429
    three = {"documents": [{"text": "one"}, {"text": "two"}, {"text": "three"}]}
    assert handing.post("/v1/documents", json=three).status_code == 413
    asking = team.join("default", "reader", limits={**LIMITS, "tokens_per_minute": 5})
    llm.say("The retriever listens on port 8080.")
    question = "Which port does the retriever listen on?"
    assert asking.ask(question).status_code == 200
    assert asking.ask(question).status_code == 429
    assert asking.post("/v1/search", json={"query": question}).status_code == 200


def test_an_answer_that_is_left_early_is_charged_too(
    filled: Api, team: People, llm: ScriptedLLM
) -> None:
    asking = team.join("default", "reader", limits={**LIMITS, "tokens_per_minute": 50})
    question = "Which port does the retriever listen on?"
    body = {
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "max_tokens": 50,
    }
    llm.words = ["The retriever listens on port 8080. ", "It never ends"]
    llm.hold = True
    with asking.stream("POST", "/v1/chat/completions", json=body) as stream:
        next(stream.iter_lines())
    assert llm.cancelled.wait(60)
    llm.hold = False
    assert asking.ask(question).status_code == 429


def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(
    settings: RetrieverSettings,
) -> None:
    with running(settings.model_copy(update={"refusals_per_minute": 3})) as api:
        with people(api) as team:
            stranger = team.client("bh_wrong")
            statuses = [stranger.get("/v1/models").status_code for _ in range(6)]
        assert statuses == [401, 401, 401, 429, 429, 429]
        assert api.get("/v1/documents").status_code == 200
    refusals = [line for line in log_of(settings) if line["key_id"] is None]
    assert [line["status"] for line in refusals] == [401, 401, 401, 429]  # and no flood of lines


def test_only_who_was_answered_may_vote_and_admins_of_the_tenant(
    filled: Api, team: People, llm: ScriptedLLM
) -> None:
    asker, other = team.join("default", "reader"), team.join("default", "reader")
    admin, foreign = team.join("default", "admin"), team.join("acme", "admin")
    llm.say("The retriever listens on port 8080.")
    answer = asker.ask("Which port does the retriever listen on?").json()["id"]
    vote = {"response_id": answer, "vote": "up"}
    for person, status in ((asker, 201), (other, 404), (admin, 201), (foreign, 404)):
        assert person.post("/v1/feedback", json=vote).status_code == status
    unknown = other.post("/v1/feedback", json={**vote, "response_id": "chatcmpl-none"}).json()
    refused = other.post("/v1/feedback", json=vote).json()
    assert unknown["error"]["message"] == refused["error"]["message"]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_every_action_is_on_record_and_no_text_question_or_key_is(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    Recorded()  # without a provider of traces, which the process has, there is no trace id
    with running(settings) as api, people(api) as team:
        headers = {
            "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
            "X-Request-ID": "request-canary-is-fine",
        }
        made = team.made("acme", "writer", "red", name="canary-name")
        writer = team.client(made["key"])
        job = writer.ingest(
            {
                "text": "The canary-text sings about port 8080.",
                "title": "canary-title",
                "source": "canary-source",
                "metadata": {"note": "canary-metadata"},
            }
        )
        (document,) = writer.get("/v1/documents").json()["data"]
        writer.get(f"/v1/documents/{document['id']}/text", headers=headers)
        query = {"query": "canary-query port 8080", "filters": {"note": "canary-filter"}}
        writer.post("/v1/search", json={"query": "canary-query sings port"})
        writer.post("/v1/search", json=query)
        llm.say("The canary-answer.")
        answer = writer.ask("canary-question: which port sings?").json()
        comment = {"response_id": answer["id"], "vote": "up", "comment": "canary-comment"}
        writer.post("/v1/feedback", json=comment)
        writer.get("/v1/documents/canary-in-the-path")
        writer.get(f"/v1/documents?cursor=canary-cursor&x={made['key']}")
        writer.get("/v1/models", headers={"X-Request-ID": made["key"]})
        foreign = team.join("other", "writer")
        foreign.get(f"/v1/documents/{document['id']}")
        team.client("bh_canary-key").get("/v1/documents")
        foreign.get("/v1/keys")
        writer.delete(f"/v1/documents/{document['id']}")
        api.post(f"/v1/keys/{made['id']}/rotate")
        api.delete(f"/v1/keys/{made['id']}")
    lines = log_of(settings)
    text = (settings.data_dir / "audit.jsonl").read_text()
    assert "canary" not in text.replace("request-canary-is-fine", "")
    assert made["key"] not in text and KEY not in text
    told = [(line["action"], line["decision"], line["error"], line["key_id"]) for line in lines]
    mine = made["id"]
    for expected in [
        ("key.create", "allowed", None, "admin"),
        ("document.add", "allowed", None, mine),
        ("document.list", "allowed", None, mine),
        ("document.text", "allowed", None, mine),
        ("search", "allowed", None, mine),
        ("chat", "allowed", None, mine),
        ("feedback.vote", "allowed", None, mine),
        ("document.read", "denied", "not_found", mine),
        ("auth.refused", "denied", "unauthenticated", None),
        ("document.delete", "allowed", None, mine),
        ("key.rotate", "allowed", None, "admin"),
        ("key.revoke", "allowed", None, "admin"),
    ]:
        assert expected in told, expected
    read = next(line for line in lines if line["action"] == "document.text")
    assert read["documents"] == [document["id"]]
    assert (read["trace_id"], read["request_id"]) == (TRACE, "request-canary-is-fine")
    assert (read["tenant"], read["role"], read["status"]) == ("acme", "writer", 200)
    assert read["bytes_out"] > 0 and read["duration_ms"] > 0
    searched = next(line for line in lines if line["action"] == "search")
    assert searched["documents"] == [document["id"]]
    assert next(line for line in lines if line["action"] == "document.add")["target"] == job["id"]
    (denied,) = [x for x in lines if x["tenant"] == "other" and x["action"] == "document.read"]
    assert (denied["status"], denied["documents"]) == (404, [document["id"]])
    (refused,) = [x for x in lines if x["tenant"] == "other" and x["action"] == "key.list"]
    assert (refused["decision"], refused["error"]) == ("denied", "forbidden")
    assert {line["target"] for line in lines if line["action"] == "key.revoke"} == {mine}


def test_whatever_an_action_is_about_is_on_record_by_its_id(settings: RetrieverSettings) -> None:
    prefixes = {"document_id": "", "job_id": "", "key_id": "key_", "approval_id": "approval_"}
    asked: list[str] = []
    with running(settings) as api:
        for path, methods in api.get("/openapi.json").json()["paths"].items():
            named = re.search(r"{(\w+)}", path)
            if not named or named[1] not in prefixes:  # a model has a name, and it is nobody's
                continue
            for method in methods:
                an_id = f"{prefixes[named[1]]}{len(asked):032x}"
                body = {"decision": "deny"} if "approvals" in path else None
                reply = api.request(method, path.replace(named[0], an_id), json=body)
                assert reply.status_code == 404, reply.text
                asked.append(an_id)
    told = [line["documents"] or [line["target"]] for line in log_of(settings)]
    assert told == [[an_id] for an_id in asked]


def test_a_log_that_cannot_be_written_stops_changes_and_is_told(
    settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: AuditLog) -> None:
        raise OSError(28, "No space left on device")

    with running(settings) as api:
        working = AuditLog._commit
        monkeypatch.setattr(AuditLog, "_commit", full)
        api.ingest({"text": SOUP, "source": "before.txt"})  # its line is the first that fails
        refused = api.post("/v1/documents", json={"documents": [{"text": "x"}]})
        assert (refused.status_code, refused.json()["error"]["part"]) == (503, "audit")
        assert api.post("/v1/keys", json={"tenant": "t", "role": "reader"}).status_code == 503
        assert api.get("/v1/documents").status_code == 200
        readiness = api.until_ready(lambda one: one["status"] == "degraded").json()
        assert (readiness["status"], readiness["parts"]["audit"]["state"]) == ("degraded", "down")
        assert "/" not in readiness["parts"]["audit"]["detail"]
        monkeypatch.setattr(AuditLog, "_commit", working)
    actions = [line["action"] for line in log_of(settings)]
    assert actions.count("document.add") == 2


def test_a_second_retriever_on_the_same_data_is_refused(
    api: Api, settings: RetrieverSettings
) -> None:
    with pytest.raises(RuntimeError, match="already accessed"), running(settings):
        pass


def test_a_key_file_is_the_operators_after_a_restart(settings: RetrieverSettings) -> None:
    with running(settings) as api, people(api) as team:
        reader_key = team.made("acme", "reader")["key"]
    Path(settings.api_key_file).write_text("bh_another-operator\n")
    with running(settings, key="bh_another-operator") as api, people(api) as team:
        assert team.client(KEY).get("/v1/keys").status_code == 401
        assert team.client(reader_key).get("/v1/documents").status_code == 200
