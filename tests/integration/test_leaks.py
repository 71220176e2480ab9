"""Two tenants, overlapping groups, a canary in every field of every document: none ever crosses.

Which calls there are comes from the OpenAPI document: one without a case here fails the test.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from people import people
from rig import Api, running
from scripted_llm import ScriptedLLM
from sqlalchemy import Engine, event

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the lighthouse listen on?"
UNKNOWN = "0" * 32
CANARY = re.compile(r"canary[a-z]+")


@dataclass
class Document:
    """A document of a test, and the canaries that only who may see it may meet."""

    tenant: str
    group: str | None
    name: str
    id: str = ""
    job: str = ""

    @property
    def canary(self) -> str:
        return f"canary{self.tenant}{self.group or 'open'}"

    def body(self) -> dict[str, Any]:
        c = self.canary
        return {
            "text": f"The lighthouse listens on port 8080, says {c}text.",
            "title": f"Lighthouse {c}title",
            "source": f"{c}source.md",
            "groups": [self.group] if self.group else [],
            "metadata": {"note": f"{c}note", f"{c}field": "x"},
        }


@dataclass
class Person:
    """A key, and what it may see."""

    name: str
    tenant: str
    role: str
    groups: frozenset[str]
    api: Api
    key_id: str
    answer: str = ""
    sees: list[Document] = field(default_factory=list)


@dataclass
class World:
    """Everybody and everything."""

    documents: list[Document]
    persons: list[Person]
    open_api: dict[str, Any]


@contextmanager
def world(settings: RetrieverSettings, llm: ScriptedLLM) -> Iterator[World]:
    documents = [
        Document(tenant, group, f"{tenant}-{group}")
        for tenant in ("alpha", "beta")
        for group in (None, "red", "blue", f"canary{tenant}group")
    ]
    persons = []
    with running(settings) as operator, people(operator) as team:
        for tenant in ("alpha", "beta"):
            own = f"canary{tenant}group"
            for name, role, groups in (
                ("open", "reader", ()),
                ("red", "reader", ("red",)),
                ("both", "writer", ("red", "blue")),
                ("own", "writer", (own,)),
                ("admin", "admin", ()),
            ):
                made = team.made(tenant, role, *groups, name=f"canary{tenant}keyname")
                person = Person(
                    f"{tenant}-{name}",
                    tenant,
                    role,
                    frozenset(groups),
                    team.client(made["key"]),
                    made["id"],
                )
                persons.append(person)
        for person in persons:
            if person.role == "admin":
                for document in documents:
                    if document.tenant == person.tenant:
                        document.job = person.api.ingest(document.body())["id"]
                page = person.api.get("/v1/documents").json()["data"]
                ids = {one["source"]: one["id"] for one in page}
                for document in documents:
                    document.id = ids.get(document.body()["source"], document.id)
        for person in persons:
            person.sees = [
                document
                for document in documents
                if document.tenant == person.tenant
                and (
                    person.role == "admin"
                    or document.group is None
                    or document.group in person.groups
                )
            ]
            llm.say("The lighthouse listens on port 8080.")
            person.answer = person.api.ask(QUESTION).json()["id"]
        yield World(documents, persons, operator.get("/openapi.json").json())


def told(reply: httpx2.Response) -> str:
    return reply.text + str(dict(reply.headers))


def foreign_filters(document: Document) -> list[dict[str, Any]]:
    """Filters that name what another has."""
    c = document.canary
    return [
        {"source": f"{c}source.md"},
        {"title": f"Lighthouse {c}title"},
        {"document_id": document.id},
        {"document_id": [document.id, UNKNOWN]},
        {"note": f"{c}note"},
        {f"{c}field": "x"},
        {"tenant": document.tenant},
        {"groups": [document.group or "*"]},
        {"not": {"source": "nothing"}},
        {"not": {"tenant": "nothing"}},
        {"should": {"tenant": document.tenant}},
    ]


def searches(path: str, body: dict[str, Any], nested: str | None) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        replies = []
        for mode in ("hybrid", "dense", "sparse"):
            plain: dict[str, Any] = {"mode": mode, "top_k": 100, "rerank": mode == "hybrid"}
            asked = [plain]
            for document in others[:2] if nested else others:
                asked += [{**plain, "filters": filters} for filters in foreign_filters(document)]
            for options in asked:
                sent = {**body, nested: options} if nested else {**body, **options}
                replies.append(told(person.api.post(path, json=sent)))
        return replies

    return ask


def by_document(method: str, path: str) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        replies = []
        missing = person.api.request(method, path.format(document_id=UNKNOWN))
        for document in others:
            reply = person.api.request(method, path.format(document_id=document.id))
            assert reply.status_code == missing.status_code
            assert reply.status_code == 404 or (reply.status_code == 403 and method == "DELETE")
            assert blank(reply) == blank(missing)
            replies.append(told(reply))
        return replies

    return ask


def by_job(method: str, path: str) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        replies = []
        missing = person.api.request(method, path.format(job_id=UNKNOWN))
        for document in others:
            # One that sees all of its tenant has no others here; whoever did not hand a document
            # in does not see its job, not even where the document is open to it.
            reply = person.api.request(method, path.format(job_id=document.job))
            assert reply.status_code == missing.status_code in (403, 404)
            assert blank(reply) == blank(missing)
            replies.append(told(reply))
        return replies

    return ask


def listing(path: str) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        cursors = ["", "0~", f"0~{others[0].id}", "~~"]
        asked: list[dict[str, str]] = [{"limit": "1000", "cursor": cursor} for cursor in cursors]
        asked += [{"tenant": others[-1].tenant, "groups": "red", "source": others[0].canary}]
        return [told(person.api.get(path, params=params)) for params in asked]

    return ask


def documents_in(person: Person, others: list[Document]) -> list[str]:
    """Hand in under another's source, with another's idempotency key."""
    replies = []
    for document in others:
        if document.tenant == person.tenant:
            continue
        body = {"documents": [{"text": "mine", "source": f"{document.id}.md"}]}
        reply = person.api.post(
            "/v1/documents", json=body, headers={"Idempotency-Key": document.id}
        )
        replies.append(told(reply))
    return replies


def votes(world: World) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        replies = []
        for other in world.persons:
            same = other.key_id == person.key_id
            if same or (person.role == "admin" and other.tenant == person.tenant):
                continue
            vote = {"response_id": other.answer, "vote": "up"}
            reply = person.api.post("/v1/feedback", json=vote)
            unknown = person.api.post("/v1/feedback", json={**vote, "response_id": "none"})
            assert reply.status_code == 404
            assert blank(reply) == blank(unknown)
            replies.append(told(reply))
        return replies

    return ask


def keys_of_others(method: str, path: str, world: World) -> Callable[..., list[str]]:
    def ask(person: Person, others: list[Document]) -> list[str]:
        missing = person.api.request(method, path.format(key_id=f"key_{UNKNOWN}"))
        replies = []
        for other in world.persons:
            if other.tenant != person.tenant:
                reply = person.api.request(method, path.format(key_id=other.key_id))
                assert reply.status_code == missing.status_code in (403, 404)
                assert blank(reply) == blank(missing)
                replies.append(told(reply))
        return replies

    return ask


def making_keys(person: Person, others: list[Document]) -> list[str]:
    body = {"tenant": others[-1].tenant, "role": "reader"}
    if body["tenant"] == person.tenant:
        return []
    reply = person.api.post("/v1/keys", json=body)
    assert reply.status_code == 403
    return [told(reply)]


def unknown_approval(method: str) -> Callable[..., list[str]]:
    """No tool here writes, so there is none to find; tests of the agent ask for another's."""

    def ask(person: Person, others: list[Document]) -> list[str]:
        body = {"decision": "approve"} if method == "POST" else None
        reply = person.api.request(method, f"/v1/approvals/{UNKNOWN}", json=body)
        assert reply.status_code in (403, 404)
        return [told(reply)]

    return ask


def blank(reply: httpx2.Response) -> str:
    return re.sub(r'"request_id":"[^"]*"', "", reply.text)


def cases(world: World) -> dict[tuple[str, str], Callable[..., list[str]]]:
    question = {"messages": [{"role": "user", "content": QUESTION}]}
    streamed = {**question, "stream": True}
    chat = "/v1/chat/completions"

    def chats(person: Person, others: list[Document]) -> list[str]:
        whole = searches(chat, question, "rag")(person, others)
        return whole + searches(chat, streamed, "rag")(person, others[:1])

    return {
        ("post", "/v1/search"): searches("/v1/search", {"query": QUESTION}, None),
        ("post", chat): chats,
        ("post", "/v1/responses"): searches("/v1/responses", {"input": QUESTION}, "rag"),
        ("post", "/v1/embeddings"): lambda person, others: [
            told(person.api.post("/v1/embeddings", json={"input": [QUESTION]}))
        ],
        ("get", "/v1/models"): lambda person, others: [told(person.api.get("/v1/models"))],
        ("get", "/v1/models/{name}"): lambda person, others: [
            told(person.api.get("/v1/models/scripted"))
        ],
        ("post", "/v1/documents"): documents_in,
        ("get", "/v1/documents"): listing("/v1/documents"),
        ("get", "/v1/documents/{document_id}"): by_document("GET", "/v1/documents/{document_id}"),
        ("get", "/v1/documents/{document_id}/text"): by_document(
            "GET", "/v1/documents/{document_id}/text"
        ),
        ("delete", "/v1/documents/{document_id}"): by_document(
            "DELETE", "/v1/documents/{document_id}"
        ),
        ("get", "/v1/jobs"): listing("/v1/jobs"),
        ("get", "/v1/jobs/{job_id}"): by_job("GET", "/v1/jobs/{job_id}"),
        ("get", "/v1/jobs/{job_id}/documents"): by_job("GET", "/v1/jobs/{job_id}/documents"),
        ("get", "/v1/jobs/{job_id}/errors"): by_job("GET", "/v1/jobs/{job_id}/errors"),
        ("get", "/v1/jobs/{job_id}/events"): by_job("GET", "/v1/jobs/{job_id}/events"),
        ("post", "/v1/jobs/{job_id}/cancel"): by_job("POST", "/v1/jobs/{job_id}/cancel"),
        ("post", "/v1/feedback"): votes(world),
        ("get", "/v1/keys"): listing("/v1/keys"),
        ("post", "/v1/keys"): making_keys,
        ("delete", "/v1/keys/{key_id}"): keys_of_others("DELETE", "/v1/keys/{key_id}", world),
        ("post", "/v1/keys/{key_id}/rotate"): keys_of_others(
            "POST", "/v1/keys/{key_id}/rotate", world
        ),
        ("get", "/v1/approvals/{approval_id}"): unknown_approval("GET"),
        ("post", "/v1/approvals/{approval_id}"): unknown_approval("POST"),
        ("get", "/healthz"): lambda person, others: [told(person.api.get("/healthz"))],
        ("get", "/readyz"): lambda person, others: [told(person.api.get("/readyz"))],
    }


@pytest.mark.timeout(300)
def test_no_canary_ever_crosses(settings: RetrieverSettings, llm: ScriptedLLM) -> None:
    with world(settings, llm) as all_of_it:
        asked = cases(all_of_it)
        documented = {
            (method, path)
            for path, methods in all_of_it.open_api["paths"].items()
            for method in methods
        }
        assert documented <= asked.keys(), "a call without a case: add one"
        llm.say(QUESTION)
        for person in all_of_it.persons:
            others = [one for one in all_of_it.documents if one not in person.sees]
            others.sort(key=lambda one: one.tenant == person.tenant)  # foreign tenants first
            mine = {one.canary for one in person.sees}
            mine |= {f"canary{person.tenant}keyname"} if person.role == "admin" else set()
            mine |= {f"canary{person.tenant}group"} if person.role == "admin" else person.groups
            llm.requests.clear()
            for call in sorted(documented):
                for reply in asked[call](person, others):
                    check(reply, mine, f"{person.name} {call}")
            check(str(llm.requests), mine, f"{person.name} prompts")
            for document in person.sees:  # and what is theirs they do see
                text = person.api.text(document.id)
                assert document.canary in text
                found = person.api.post("/v1/search", json={"query": QUESTION, "top_k": 100})
                assert document.canary in found.text
        for document in all_of_it.documents:  # nothing of it changed anything
            admin = next(
                one
                for one in all_of_it.persons
                if one.role == "admin" and one.tenant == document.tenant
            )
            assert document.canary in admin.api.text(document.id)


@contextmanager
def listening(target: Any, name: str, heard: Callable[..., None]) -> Iterator[None]:
    event.listen(target, name, heard)
    try:
        yield
    finally:
        event.remove(target, name, heard)


def check(reply: str, mine: set[str], where: str) -> None:
    for canary in CANARY.findall(reply):
        assert any(canary.startswith(own) for own in mine), f"{canary} crossed: {where}"


def test_a_foreign_document_is_looked_for_and_answered_as_one_that_does_not_exist(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    asked: list[str] = []

    def note(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append(f"{statement} {parameters}")

    with (
        listening(Engine, "before_cursor_execute", note),
        running(settings) as operator,
        people(operator) as team,
    ):
        admin, stranger = team.join("alpha", "admin"), team.join("beta", "reader")
        admin.ingest({"text": "A long text. " * 20_000, "source": "long.md"})
        (document,) = admin.get("/v1/documents").json()["data"]

        def looked(path: str, document_id: str) -> tuple[list[str], str]:
            stranger.get("/v1/documents")  # what a key's first question brings is behind it
            asked.clear()
            reply = stranger.get(path.format(document_id))
            assert reply.status_code == 404
            told = reply.text.replace(reply.headers["x-request-id"], "REQUEST")
            headers = sorted(set(reply.headers) - {"date"})
            # What looks by itself for changes of keys and jobs does so whoever asks what.
            sql = [one.replace(document_id, "ID") for one in asked if "FROM documents" in one]
            return sql, f"{headers} {told.replace(document_id, 'ID')}"

        for path in ("/v1/documents/{}", "/v1/documents/{}/text"):
            foreign, unknown = looked(path, document["id"]), looked(path, UNKNOWN)
            assert foreign[0], "the database was asked"
            assert foreign == unknown
