"""Tokens for the tool servers: who calls, for which server, until when.

A token is a JWT signed with HMAC-SHA-256. Each server has a signing key of its own and accepts
tokens that name it as their audience, so a token for one server is worthless at another.
"""

import secrets
import time
from functools import lru_cache
from pathlib import Path

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unauthenticated
from bulkhead.settings import read_secret

ISSUER = "bulkhead"
ALGORITHM = "HS256"
KEY_CHARACTERS = 43
"""Shortest signing key: 32 random bytes in base64."""
MOST_TOKEN_BYTES = 16 * 2**10
"""Longest token that is read at all, of this kind or another."""
_REMEMBERED = 1024
"""Tokens that one server keeps as verified, about a kilobyte each."""


class _Claims(BaseModel):
    """What a token must say; nothing is converted, so a number is no tenant."""

    model_config = ConfigDict(strict=True)

    aud: str
    exp: int
    sub: str = Field(min_length=1)
    tenant: str = Field(min_length=1)
    groups: list[str]
    role: str


def new_signing_key() -> str:
    """A signing key of 32 random bytes, as text for a secret file."""
    return secrets.token_urlsafe(32)


def read_signing_key(path: Path) -> bytes:
    """The signing key in `path`.

    Raises `ValueError`, naming the file and never its content, when it is missing or too short.
    """
    key = read_secret(path).encode()
    if len(key) < KEY_CHARACTERS:
        raise ValueError(
            f"the signing key in {path.name} is too short: it needs 32 random bytes or more,"
            f" as text of at least {KEY_CHARACTERS} characters"
        )
    return key


def mint(key: bytes, audience: str, principal: Principal, ttl: float) -> str:
    """A token that lets `principal` call the server `audience` for `ttl` seconds."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": audience,
        "sub": principal.key_id,
        "tenant": principal.tenant,
        "groups": sorted(principal.groups),
        "role": principal.role.value,
        "iat": now,
        "exp": now + int(ttl),
    }
    return jwt.encode(claims, key, ALGORITHM)


class TokenVerifier:
    """Turns the tokens of one server back into principals.

    A token that has passed is remembered: of what was checked, only its expiry can change. One
    that is refused never is, so nobody can fill the memory without a signing key.
    """

    def __init__(self, key: bytes, audience: str) -> None:
        self._key = key
        self._audience = audience
        self._claims_of = lru_cache(_REMEMBERED)(self._check)

    def verify(self, token: str) -> Principal:
        """The principal that `token` was minted for.

        Raises `Unauthenticated` for every token that this server's key did not sign, that is for
        another server, that has expired or that lacks a claim.
        """
        if len(token) > MOST_TOKEN_BYTES:
            raise Unauthenticated("the token is too long")
        principal, expires = self._claims_of(token)
        if expires <= time.time():
            raise Unauthenticated("the token has expired")
        return principal

    def _check(self, token: str) -> tuple[Principal, int]:
        """Whom a token names and when it ends, in seconds since 1970."""
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                options={
                    "require": ["iss", "aud", "sub", "exp", "iat"],
                    "strict_aud": True,
                },
            )
            claims = _Claims.model_validate(payload)
            role = Role(claims.role)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired") from error
        except (jwt.InvalidTokenError, ValidationError, ValueError) as error:
            raise Unauthenticated("the token is not valid for this server") from error
        who = Principal(claims.sub, claims.tenant, frozenset(claims.groups), role)
        return who, claims.exp
