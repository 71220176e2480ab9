"""From what a token says of a person to their tenant, groups and role, by the settings.

What is missing or of another kind is refused with `Forbidden`, and never read as a wider right.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from bulkhead.auth import Principal, Role
from bulkhead.errors import Forbidden
from retriever.login.settings import LoginSettings

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST_GROUPS = 256
_SPACED = ("scope", "scp")
"""Claims whose text is a list with spaces between (RFC 8693 section 4.2)."""
_RANK = {role: rank for rank, role in enumerate(Role)}


def principal_of(claims: Mapping[str, Any], settings: LoginSettings) -> Principal:
    """Whom a token that was checked stands for. Raises `Forbidden`, in words."""
    return Principal(
        key_id=login_id(claims["iss"], claims["sub"]),
        tenant=_tenant(claims, settings),
        groups=_groups(claims, settings),
        role=_role(claims, settings),
    )


def login_id(issuer: str, subject: str) -> str:
    """What limits, jobs, votes and the audit log know a person by: `login_` and 32 hex digits.

    A digest, so that it is short and holds no name; issuer and subject give it again.
    """
    return "login_" + hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:32]


def _tenant(claims: Mapping[str, Any], settings: LoginSettings) -> str:
    if settings.oidc_tenant is not None:
        return settings.oidc_tenant
    value = _claim(claims, settings.oidc_tenant_claim)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _unfit(settings.oidc_tenant_claim, "names no tenant: letters, digits, . _ - alone")
    return value


def _groups(claims: Mapping[str, Any], settings: LoginSettings) -> frozenset[str]:
    """Those that can be names of groups here; of another a document can have none."""
    if not settings.oidc_groups_claim:
        return frozenset()
    values = _texts(claims, settings.oidc_groups_claim)
    if len(values) > _MOST_GROUPS:
        raise _unfit(settings.oidc_groups_claim, f"lists more than {_MOST_GROUPS} groups")
    return frozenset(value for value in values if _NAME.fullmatch(value))


def _role(claims: Mapping[str, Any], settings: LoginSettings) -> Role:
    given = [Role(settings.oidc_default_role)] if settings.oidc_default_role else []
    if settings.oidc_role_claim:
        values = _texts(claims, settings.oidc_role_claim)
        given += [settings.oidc_roles[value] for value in values if value in settings.oidc_roles]
    if not given:
        raise _unfit(settings.oidc_role_claim, "gives no role here")
    return max(given, key=lambda role: _RANK[role])


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    value = _claim(claims, name)
    if isinstance(value, str):
        return value.split() if name in _SPACED else [value]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise _unfit(name, "is no list of texts")


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a JSON Pointer (RFC 6901) through objects."""
    found: Any = claims
    for step in _steps(name):
        if not isinstance(found, Mapping) or step not in found:
            raise _unfit(name, "is missing")
        found = found[step]
    return found


def _steps(name: str) -> list[str]:
    if not name.startswith("/"):
        return [name]
    return [step.replace("~1", "/").replace("~0", "~") for step in name.split("/")[1:]]


def _unfit(name: str, why: str) -> Forbidden:
    return Forbidden(f"the login may not come in: its claim {name} {why}")
