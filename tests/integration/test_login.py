"""People who log in at an OpenID provider: all that keys have works for them, too."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from issuer import SETTINGS, Issuer, logging_in
from people import People, people
from rig import PORTS, SOUP, Api
from scripted_llm import ScriptedLLM

import retriever.login.tokens
from retriever.login.claims import login_id
from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def api(settings: RetrieverSettings, issuer: Issuer) -> Iterator[Api]:
    with logging_in(settings, issuer) as api:
        yield api


@pytest.fixture
def team(api: Api) -> Iterator[People]:
    with people(api) as team:
        yield team


def audited(settings: RetrieverSettings) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (settings.data_dir / "audit.jsonl").read_text().splitlines()
    ]


def refusal(reply: httpx2.Response) -> str:
    assert reply.status_code == 403
    return str(reply.json()["error"]["message"])


def test_a_person_hands_in_asks_votes_and_sees_own_jobs_alone(
    team: People, issuer: Issuer, llm: ScriptedLLM, settings: RetrieverSettings
) -> None:
    ada = team.client(issuer.token())
    same = team.client(issuer.token(exp=int(time.time()) + 60))  # another token of hers
    bob = team.client(issuer.token(sub="bob", groups=["blue"]))
    chief = team.client(issuer.token(sub="eve", roles=["chief"], groups=[]))
    guest = team.client(issuer.token(sub="guest", roles=["guest"]))
    job = ada.ingest(
        {"text": PORTS, "source": "ports.md", "groups": ["red"]}, {"text": SOUP, "source": "soup"}
    )
    assert job["counts"]["added"] == 2
    seen = [len(one.get("/v1/documents").json()["data"]) for one in (ada, bob, chief)]
    assert seen == [2, 1, 2]
    found = [one.get(f"/v1/jobs/{job['id']}").status_code for one in (ada, same, bob, chief)]
    assert found == [200, 200, 404, 200]
    assert refusal(guest.post("/v1/documents", json={"documents": [{"text": "x"}]})) == (
        "this needs the role 'writer'; yours is 'reader'"
    )
    assert refusal(ada.get("/v1/keys")) == "this needs the role 'admin'; yours is 'writer'"
    foreign = {"documents": [{"text": "x", "groups": ["blue"]}]}
    assert refusal(ada.post("/v1/documents", json=foreign)) == "you are not in the group 'blue'"
    made = chief.post("/v1/keys", json={"tenant": "acme", "role": "reader"})
    assert made.status_code == 201
    assert refusal(chief.post("/v1/keys", json={"tenant": "other", "role": "reader"})) == (
        "you manage the keys of your own tenant alone"
    )
    llm.say(FACT)
    answer = ada.ask(QUESTION).json()
    vote = {"response_id": answer["id"], "vote": "up"}
    assert same.post("/v1/feedback", json=vote).status_code == 201
    assert bob.post("/v1/feedback", json=vote).status_code == 404
    lines = [one for one in audited(settings) if one["key_id"] == login_id(issuer.url, "ada")]
    assert lines
    assert {(one["tenant"], one["role"]) for one in lines} == {("acme", "writer")}


def test_limits_count_a_person_and_not_a_token(settings: RetrieverSettings, issuer: Issuer) -> None:
    with logging_in(settings, issuer, requests_per_minute=3) as api, people(api) as team:
        codes = [
            team.client(issuer.token(jti=str(n))).get("/v1/documents").status_code for n in range(5)
        ]
        assert codes == [200, 200, 200, 429, 429]
        assert team.client(issuer.token(sub="bob")).get("/v1/documents").status_code == 200


def test_who_may_not_come_in_is_told_why_and_limited_by_address(
    settings: RetrieverSettings, issuer: Issuer
) -> None:
    with logging_in(settings, issuer, refusals_per_minute=3) as api, people(api) as team:
        nobody = team.client(issuer.token(roles=[]))
        refused = nobody.get("/v1/documents")
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "forbidden")
        assert "roles gives no role" in refused.json()["error"]["message"]
        codes = [nobody.get("/v1/documents").status_code for _ in range(4)]
        assert codes == [403, 403, 429, 429]
        assert team.client(issuer.token()).get("/v1/documents").status_code == 200
        assert api.get("/v1/documents").status_code == 200  # keys are for machines


def test_a_token_comes_as_a_bearer_alone(api: Api, issuer: Issuer) -> None:
    token = issuer.token()
    with httpx2.Client(base_url=api.base_url, timeout=60) as anyone:
        for sent in ({"api-key": token}, {"Cookie": f"token={token}"}, {"Authorization": token}):
            assert anyone.get("/v1/documents", headers=sent).status_code == 401, sent
        assert anyone.get(f"/v1/documents?access_token={token}").status_code == 401


def test_a_stream_ends_with_the_login_and_so_does_the_model(
    team: People, issuer: Issuer, llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = team.client(issuer.token())
    assert ada.ingest({"text": PORTS, "source": "ports.md"})["counts"]["added"] == 1
    llm.words, llm.pause = [f"word{n} " for n in range(1000)], 0.02
    with ada.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
        lines = stream.iter_lines()
        next(lines)
        with monkeypatch.context() as later:
            later.setattr(retriever.login.tokens, "time", Later())
            rest = [line for line in lines if line]
    told = json.loads(rest[-1].removeprefix("data: "))["error"]
    assert (told["type"], told["message"]) == ("unauthenticated", "the login has ended")
    assert not any("word999" in line or "[DONE]" in line for line in rest)
    assert llm.cancelled.wait(60)


class Later:
    """The clock, when a token that was just given has ended."""

    def time(self) -> float:
        return time.time() + 10_000


def test_a_job_goes_on_with_the_rights_that_its_login_had(
    team: People, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = team.client(issuer.token())
    body = {"documents": [{"text": SOUP, "source": "soup", "groups": ["red"]}]}
    job = ada.post("/v1/documents", json=body).json()
    with monkeypatch.context() as later:
        later.setattr(retriever.login.tokens, "time", Later())
        assert ada.get("/v1/documents").status_code == 401
    narrower = team.client(issuer.token(roles=["guest"], groups=[]))
    assert narrower.finished(job["id"])["counts"]["added"] == 1
    assert narrower.get("/v1/documents").json()["data"] == []


def test_the_key_turns_at_the_provider_and_new_tokens_come_in(
    team: People, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retriever.login.provider, "_BETWEEN_SECONDS", 0.0)
    assert team.client(issuer.token()).get("/v1/documents").status_code == 200
    issuer.turn("next", "RS256", keep=False)
    assert team.client(issuer.token()).get("/v1/documents").status_code == 200


def test_while_the_provider_is_down_it_is_said_and_keys_work(
    team: People, api: Api, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retriever.login.provider, "_BETWEEN_SECONDS", 0.0)
    ada = team.client(issuer.token())
    assert ada.get("/v1/documents").status_code == 200
    issuer.down = True
    stranger = team.client(issuer.token(header={"kid": "new"})).get("/v1/documents")
    assert (stranger.status_code, stranger.json()["error"]["part"]) == (503, "login")
    assert ada.get("/v1/documents").status_code == 200
    assert api.get("/v1/documents").status_code == 200
    api.until_ready(lambda ready: ready["parts"]["login"]["state"] == "down")
    issuer.down = False
    api.until_ready(lambda ready: ready["parts"]["login"]["state"] == "up")


def test_a_stranger_is_told_where_to_log_in(settings: RetrieverSettings, issuer: Issuer) -> None:
    told = {"public_url": "https://bulkhead.example/", "oidc_scope": "openid docs"}
    with logging_in(settings, issuer, **told) as api, people(api) as team:
        stranger = team.client("")
        for path, about in (("/v1/documents", "/v1"), ("/mcp", "/mcp")):
            where = stranger.get(path).headers["WWW-Authenticate"]
            address = f"https://bulkhead.example/.well-known/oauth-protected-resource{about}"
            assert where == f'Bearer resource_metadata="{address}"'
            wrong = team.client("wrong").get(path).headers["WWW-Authenticate"]
            assert wrong == f'{where}, error="invalid_token"'
        for path in ("", "/mcp", "/v1"):
            reply = stranger.get(f"/.well-known/oauth-protected-resource{path}")
            assert reply.json() == {
                "resource": f"https://bulkhead.example{path}",
                "resource_name": "Bulkhead",
                "authorization_servers": [issuer.url],
                "scopes_supported": ["openid", "docs"],
                "bearer_methods_supported": ["header"],
            }


def test_without_a_provider_nothing_is_told_of_one(
    settings: RetrieverSettings, issuer: Issuer
) -> None:
    assert not set(SETTINGS) & settings.model_fields_set
    with logging_in(settings, issuer, oidc_issuer="") as api, people(api) as team:
        stranger = team.client(issuer.token())
        refused = stranger.get("/v1/documents")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert stranger.get("/.well-known/oauth-protected-resource").status_code == 404
        assert "login" not in api.get("/readyz").json()["parts"]
