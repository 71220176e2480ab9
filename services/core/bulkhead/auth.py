"""Who asks: a bearer key becomes a principal."""

import hashlib
import hmac
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
            raise Forbidden(f"this needs the role '{role}'; the key has '{self.role}'")


def key_digest(key: str) -> str:
    """The SHA-256 of a key, hex. Keys are 256 random bits, so one fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """The keys that a service accepts, held as digests."""

    def __init__(self, principals: dict[str, Principal]) -> None:
        """`principals` maps a key's digest (`key_digest`) to whom it stands for."""
        self._principals = principals

    def principal(self, key: str) -> Principal:
        """The principal of `key`; raises `Unauthenticated` when no key matches.

        Every stored digest is compared, in constant time, so that timing tells nothing.
        """
        digest = key_digest(key)
        found: Principal | None = None
        for stored, principal in self._principals.items():
            if hmac.compare_digest(stored, digest):
                found = principal
        if found is None:
            raise Unauthenticated("the API key is not known")
        return found


def bearer_key(request: Request) -> str:
    """The key in the Authorization header; raises `Unauthenticated` when there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("send the API key as 'Authorization: Bearer KEY'")
    return key.strip()
