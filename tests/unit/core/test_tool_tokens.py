"""Tokens for tool servers; what forgeries come to is in the table of HTTP attacks."""

import time
from pathlib import Path

import jwt
import pytest

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unauthenticated
from bulkhead.tool_tokens import TokenVerifier, mint, new_signing_key, read_signing_key

WHO = Principal("key-1", "harbour", frozenset({"crew", "staff"}), Role.WRITER)
KEY = new_signing_key().encode()


def test_a_token_comes_back_as_the_principal_it_was_minted_for() -> None:
    assert TokenVerifier(KEY, "mcp-database").verify(mint(KEY, "mcp-database", WHO, 60)) == WHO


def test_a_token_says_when_it_ends_and_holds_no_more_than_the_principal() -> None:
    claims = jwt.decode(mint(KEY, "mcp-database", WHO, 60), options={"verify_signature": False})
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert claims == {
        "iss": "bulkhead",
        "aud": "mcp-database",
        "sub": "key-1",
        "tenant": "harbour",
        "groups": ["crew", "staff"],
        "role": "writer",
    }


def test_a_token_is_worthless_at_another_server_and_under_another_key() -> None:
    token = mint(KEY, "mcp-database", WHO, 60)
    for verifier in (
        TokenVerifier(KEY, "mcp-filesystem"),
        TokenVerifier(new_signing_key().encode(), "mcp-database"),
    ):
        with pytest.raises(Unauthenticated, match="not valid for this server"):
            verifier.verify(token)


def test_an_expired_token_says_so() -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        TokenVerifier(KEY, "mcp-database").verify(mint(KEY, "mcp-database", WHO, -1))


def test_a_remembered_token_expires_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = TokenVerifier(KEY, "mcp-database")
    token = mint(KEY, "mcp-database", WHO, 60)
    assert verifier.verify(token) == verifier.verify(token) == WHO
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token)


def test_a_remembered_token_opens_the_door_to_no_other() -> None:
    verifier = TokenVerifier(KEY, "mcp-database")
    head, claims, signature = mint(KEY, "mcp-database", WHO, 60).split(".")
    verifier.verify(f"{head}.{claims}.{signature}")
    stranger = mint(new_signing_key().encode(), "mcp-database", WHO, 60)
    for forged in (
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[::-1]}",
        f"{head}.{stranger.split('.')[1]}x.{signature}",
        stranger,
    ):
        for _ in range(2):  # a refusal is not remembered as anything else either
            with pytest.raises(Unauthenticated, match="not valid for this server"):
                verifier.verify(forged)


def test_a_signing_key_has_256_random_bits_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(new_signing_key() + "\n")
    assert len(read_signing_key(path)) == 43
    path.write_text("hunter2hunter2hunter2")
    with pytest.raises(ValueError, match="too short") as refused:
        read_signing_key(path)
    assert "hunter2" not in str(refused.value)
