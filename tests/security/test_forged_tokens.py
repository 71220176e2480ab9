"""The table of forged tokens: at the retriever, where people log in, and at the tool servers."""

import secrets
import time

import pytest
from forged_tokens import ROWS, Forger, login_forger
from issuer import Issuer, logging_in

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unauthenticated
from bulkhead.tool_tokens import TokenVerifier
from retriever.settings import RetrieverSettings


def test_the_table_has_one_row_for_each() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 80


def test_no_forged_login_comes_in_by_any_door(settings: RetrieverSettings) -> None:
    issuer = Issuer()
    settings = settings.model_copy(update={"refusals_per_minute": 10_000})
    with logging_in(settings, issuer) as api:
        header = {"alg": "ES256", "kid": issuer.kid, "typ": "at+jwt"}
        forger = login_forger(issuer.key, header, issuer.claims)
        good = {"Authorization": f"Bearer {forger.token()}"}
        assert api.get("/v1/documents", headers=good).status_code == 200
        for row in ROWS:
            for path in ("/v1/documents", "/mcp"):
                sent = {"Authorization": f"Bearer {row.make(forger)}"}
                reply = api.get(path, headers=sent)
                assert reply.status_code == 401, (row.name, path, reply.text)
                error = reply.json()["error"]
                assert error["type"] == "unauthenticated", (row.name, path)
                assert "resource_metadata=" in reply.headers["WWW-Authenticate"]
        assert api.get("/v1/documents", headers=good).status_code == 200
        assert issuer.asked <= 3  # at the start, and not for each name of a key


def test_no_forged_token_comes_in_at_a_tool_server() -> None:
    key, own = secrets.token_bytes(43), secrets.token_bytes(43)

    def claims() -> dict[str, object]:
        now = int(time.time())
        about = {"tenant": "acme", "groups": ["red"], "role": "reader"}
        return {"iss": "bulkhead", "aud": "mcp", "sub": "k", "iat": now, "exp": now + 60, **about}

    forger = Forger("HS256", {"alg": "HS256", "typ": "JWT"}, claims, key, own)
    verifier = TokenVerifier(key, "mcp")
    good = Principal("k", "acme", frozenset({"red"}), Role.READER)
    assert verifier.verify(forger.token()) == good
    for row in ROWS:
        if row.both:
            try:
                found = verifier.verify(row.make(forger))
            except Unauthenticated:
                continue
            pytest.fail(f"{row.name} came in as {found}")
