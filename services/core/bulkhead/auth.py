"""Who asks: a bearer key becomes a principal."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request

from bulkhead.errors import Forbidden, Unauthenticated


class Role(StrEnum):
    """What a key may do; each role may do all that the one before it may."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as the service knows them. Every read and write of documents takes one.

    `groups` limits which documents are seen: those open to the whole tenant, and those shared
    with at least one of these groups. An admin sees all of the tenant's documents.
    """

    key_id: str
    tenant: str
    groups: frozenset[str]
    role: Role

    def require(self, role: Role) -> None:
        """Raise `Forbidden` unless this principal's role reaches `role`."""
        if _RANK[self.role] < _RANK[role]:
            raise Forbidden(f"this needs the role '{role}'; yours is '{self.role}'")


def key_digest(key: str) -> str:
    """The SHA-256 of a key, hex. Keys are 256 random bits, so one fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A key with 256 random bits, `bh_` and 43 characters that need no escape anywhere."""
    return f"bh_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True, slots=True)
class _Known:
    digest: str
    principal: Principal


class KeyRing:
    """The keys that a service accepts, held as digests."""

    def __init__(self, principals: Mapping[str, Principal] | None = None) -> None:
        """`principals` maps a key's digest (`key_digest`) to whom it stands for."""
        self._known: dict[str, _Known] = {}
        for digest, principal in (principals or {}).items():
            self.add(digest, principal)

    def principal(self, key: str) -> Principal:
        """The principal of `key`; raises `Unauthenticated` when no key matches.

        The digest is looked up, so ten thousand keys cost what one does. The time of that look-up
        can only tell about digests, and SHA-256 lets nobody choose one: knowing the first bytes of
        a stored digest brings nobody nearer to its key. What was found is compared in constant
        time all the same.
        """
        digest = key_digest(key)
        known = self._known.get(digest)
        if known is None or not hmac.compare_digest(known.digest, digest):
            raise Unauthenticated("the API key is not known")
        return known.principal

    def add(self, digest: str, principal: Principal) -> None:
        """Accept the key with this digest from now on."""
        self._known[digest] = _Known(digest, principal)

    def remove(self, digest: str) -> None:
        """Accept the key with this digest no longer."""
        self._known.pop(digest, None)


def bearer_key(request: Request) -> str:
    """The key in the one Authorization header; raises `Unauthenticated` when there is none."""
    sent = request.headers.getlist("authorization")
    if len(sent) > 1:  # a proxy and we might each read another of them
        raise Unauthenticated("send one Authorization header")
    scheme, _, key = "".join(sent).partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("send the API key as 'Authorization: Bearer KEY'")
    return key.strip()
