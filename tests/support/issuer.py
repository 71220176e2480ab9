"""An OpenID provider of which tests hold the keys: it publishes them, and signs what it is told."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from rig import Api, running
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retriever.settings import RetrieverSettings

AUDIENCE = "https://bulkhead.example"
CLIENT = "page"
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_MAKE: dict[str, Callable[[], Private]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}
_KINDS = {"E": ECAlgorithm, "O": OKPAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}


def new_key(algorithm: str = "ES256") -> Private:
    """A private key for this algorithm."""
    return _MAKE[algorithm]()


def jwk(kid: str, key: Private, algorithm: str, **more: Any) -> dict[str, Any]:
    """The public half, as a provider publishes it."""
    kind: Any = OKPAlgorithm if algorithm == "EdDSA" else _KINDS[algorithm[0]]
    public: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig", **more}


def b64(data: bytes | dict[str, Any]) -> str:
    """Base64url without padding; objects as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(key: Any, algorithm: str, signed: str) -> str:
    """What stands behind the last point."""
    method = jwt.PyJWS().get_algorithm_by_name(algorithm)
    return b64(method.sign(signed.encode(), method.prepare_key(key)))


class Issuer:
    """A provider with one key, `now`; `published` is what its key set says."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.key = new_key(algorithm)
        self.kid = "now"
        self.published: list[Any] = [jwk(self.kid, self.key, algorithm)]
        self.url = ""
        """Set once it is known."""
        self.asked = 0
        """How often its keys were."""
        self.down = False
        self.keys_at = ""
        """Where its configuration says that its keys are, if elsewhere."""
        self.names = ""
        """What its configuration calls it, where that is another than it is."""

    @property
    def app(self) -> Starlette:
        """It on HTTP."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/jwks", self._keys),
            ]
        )

    def turn(self, kid: str, algorithm: str = "ES256", keep: bool = True) -> None:
        """Sign with a new key from now on; the old one stays published or not."""
        self.algorithm, self.kid, self.key = algorithm, kid, new_key(algorithm)
        self.published = [*(self.published if keep else []), jwk(kid, self.key, algorithm)]

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token; one that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "exp": now + 300,
            "azp": CLIENT,
            "tenant": "acme",
            "groups": ["red"],
            "roles": ["staff"],
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A signed token."""
        head = {"alg": self.algorithm, "kid": self.kid, "typ": "at+jwt", **(header or {})}
        signed = f"{b64(head)}.{b64(self.claims(**changed))}"
        return f"{signed}.{signature(self.key, self.algorithm, signed)}"

    async def _about(self, _: Request) -> Response:
        if self.down:
            return Response(status_code=500)
        return JSONResponse(
            {"issuer": self.names or self.url, "jwks_uri": self.keys_at or f"{self.url}/jwks"}
        )

    async def _keys(self, _: Request) -> Response:
        self.asked += 1
        return JSONResponse({"keys": self.published})


SETTINGS: dict[str, Any] = {
    "oidc_audience": AUDIENCE,
    "oidc_clients": f"{CLIENT},mcp",
    "oidc_tenant_claim": "tenant",
    "oidc_groups_claim": "groups",
    "oidc_role_claim": "roles",
    "oidc_roles": {"staff": "writer", "guest": "reader", "chief": "admin"},
}
"""What a retriever is told of it, but for its address."""


@contextmanager
def logging_in(settings: RetrieverSettings, issuer: Issuer, **changed: Any) -> Iterator[Api]:
    """The retriever, where people log in at `issuer`; the client has the operator's key."""
    with serving(issuer.app) as issuer.url:
        told = {**settings.model_dump(), **SETTINGS, "oidc_issuer": issuer.url, **changed}
        with running(RetrieverSettings.model_validate(told)) as api:
            yield api
