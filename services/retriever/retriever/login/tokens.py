"""Access tokens of the provider: what they must be before anybody believes what they say.

JSON Web Tokens as RFC 9068 has them, and as providers had them before it; checked by PyJWT, after
the rules of RFC 8725. Nothing that a token's header offers is followed: no `jku`, `jwk`, `x5u`.
"""

import time
from dataclasses import dataclass
from typing import Any

import jwt

from bulkhead.auth import Principal
from bulkhead.errors import Unauthenticated
from bulkhead.tool_tokens import MOST_TOKEN_BYTES
from retriever.login.claims import principal_of
from retriever.login.provider import Provider
from retriever.login.settings import LoginSettings, listed

_TYPES = {"jwt", "at+jwt", "application/at+jwt"}
"""What `typ` may be, where a token has it; a logout token and its like say something else."""
_ELSEWHERE = {"at_hash", "c_hash", "events", "cnf"}
"""Claims of ID tokens, logout tokens, and of tokens that are worth nothing without a proof."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who logged in, and when that ends, in seconds since 1970."""

    principal: Principal
    ends: float

    def holds(self) -> bool:
        """Whether it has not ended yet."""
        return time.time() < self.ends


def looks_like_token(text: str) -> bool:
    """Whether this is a token rather than a key: base64 of `{`, and a point."""
    return text.startswith(("ey", "ew")) and "." in text


class Logins:
    """Turns access tokens into principals."""

    def __init__(self, settings: LoginSettings, provider: Provider) -> None:
        self.provider = provider
        self._settings = settings
        self._algorithms = frozenset(listed(settings.oidc_algorithms))
        self._audience = listed(settings.oidc_audience)
        self._clients = frozenset(listed(settings.oidc_clients))

    async def login(self, token: str) -> Login:
        """Who `token` was given to.

        Raises `Unauthenticated` for a token that is forged, over, for somebody else or none,
        `Forbidden` when it says too little of who they are, and `Unavailable` when the provider's
        keys are not at hand.
        """
        if len(token) > MOST_TOKEN_BYTES or not token.isascii():
            raise Unauthenticated("the token is too long, or not of ASCII")
        kid, algorithm = self._named(token)
        claims = self._checked(token, await self.provider.key(kid, algorithm), algorithm)
        return Login(
            principal_of(claims, self._settings), claims["exp"] + self._settings.oidc_clock_skew
        )

    def _named(self, token: str) -> tuple[str, str]:
        """The key and the algorithm that a token names; to look it up, not to believe it."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated("the token cannot be read") from error
        kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise Unauthenticated("the token's algorithm is none that is taken here")
        if not isinstance(kid, str):
            raise Unauthenticated("the token names no key")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise Unauthenticated("it is no access token: its type is another")
        if "crit" in header:
            raise Unauthenticated("the token asks for an extension that is not known here")
        return kid, algorithm

    def _checked(self, token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._settings.oidc_issuer,
                leeway=self._settings.oidc_clock_skew,
                options={"require": ["iss", "aud", "sub", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_words(error)) from error
        if not isinstance(claims["exp"], int | float) or isinstance(claims["exp"], bool):
            raise Unauthenticated("the token's exp is no number")
        if not 1 <= len(claims["sub"]) <= 255:
            raise Unauthenticated("the token's sub is empty or too long")
        if _ELSEWHERE & claims.keys() or not _is_access(claims.get("typ")):
            raise Unauthenticated("it is no access token, or one that asks for a proof besides")
        if self._clients and _client(claims) not in self._clients:
            raise Unauthenticated("the token was given to another client")
        return claims


def _is_access(kind: object) -> bool:
    """Keycloak says in a claim, too, what a token is: `Bearer`, `ID`, `Refresh`, `Logout`."""
    return kind is None or (isinstance(kind, str) and kind.lower() in {"bearer", *_TYPES})


def _client(claims: dict[str, Any]) -> str | None:
    """The client that a token was given to: `azp` where it stands, else as RFC 9068 has it."""
    client = claims.get("azp", claims.get("client_id"))
    return client if isinstance(client, str) else None


def _words(error: jwt.PyJWTError) -> str:
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    return "the token is not valid"


_WORDS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the login has ended: the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidSignatureError: "the token's signature is wrong",
    jwt.MissingRequiredClaimError: "the token lacks a claim that it must have",
}
