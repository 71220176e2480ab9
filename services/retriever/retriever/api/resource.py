"""What an OAuth client has to know of the retriever: protected resource metadata (RFC 9728).

A refusal names the address of it, so that a client which was told no more than the retriever's
address finds the provider by itself.
"""

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from retriever.login.settings import LoginSettings

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_RESOURCES = ("", "/mcp", "/v1")
"""Paths below the public address that are resources; the first is all of it."""


class Metadata(BaseModel):
    """The document of RFC 9728 section 2."""

    resource: str
    resource_name: str = "Bulkhead"
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str] = ["header"]


def add_metadata(app: FastAPI, settings: LoginSettings) -> None:
    """Serve the metadata of each resource. No key is asked for: a stranger is who needs them."""

    def serve(path: str) -> None:
        about = Metadata(
            resource=f"{settings.public_address()}{path}",
            authorization_servers=[settings.oidc_issuer],
            scopes_supported=settings.oidc_scope.split(),
        )

        async def metadata() -> Metadata:
            return about

        app.add_api_route(f"{_WELL_KNOWN}{path}", metadata, include_in_schema=False)

    for path in _RESOURCES:
        serve(path)


def challenge(settings: LoginSettings, request: Request) -> dict[str, str]:
    """The header of a 401, where people log in (RFC 6750 section 3, RFC 9728 section 5.1)."""
    if not settings.oidc_issuer:
        return {}
    path = "/mcp" if request.scope["path"] == "/mcp" else "/v1"
    where = f'resource_metadata="{settings.public_address()}{_WELL_KNOWN}{path}"'
    sent = "authorization" in request.headers
    return {"WWW-Authenticate": f"Bearer {where}" + (', error="invalid_token"' if sent else "")}
