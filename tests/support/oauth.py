"""An authorization server for tests, and an MCP server of the SDK's that asks for its tokens."""

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from serving import free_port, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT, SECRET, SCOPE = "bulkhead", "the-client's-secret", "tickets.read"


@dataclass
class Issuer:
    """Gives tokens to the one client that knows the secret, and remembers what it was asked."""

    url: str
    seconds: int = 3600
    given: dict[str, AccessToken] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The fields of each request for a token, with the credentials that came with it."""

    def app(self) -> Starlette:
        """Its metadata and its token endpoint."""
        return Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self._metadata),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["code"],
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def _token(self, request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        _, _, encoded = request.headers.get("authorization", "").partition(" ")
        client, _, secret = base64.b64decode(encoded).decode().partition(":")
        self.asked.append(form | {"client": unquote(client), "secret": unquote(secret)})
        if (unquote(client), unquote(secret)) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(16)
        self.given[token] = AccessToken(
            token=token,
            client_id=CLIENT,
            scopes=[SCOPE],
            expires_at=int(time.time()) + 3600,
            resource=form.get("resource"),
        )
        reply = {"access_token": token, "token_type": "Bearer", "scope": SCOPE}
        return JSONResponse(reply | {"expires_in": self.seconds})

    async def verify_token(self, token: str) -> AccessToken | None:
        """For the MCP server: a token that this one gave and did not take back."""
        return self.given.get(token)


@contextmanager
def issuing(seconds: int = 3600) -> Iterator[Issuer]:
    """An issuer whose tokens say that they live for so long."""
    port = free_port()
    issuer = Issuer(f"http://127.0.0.1:{port}", seconds)
    with serving(issuer.app(), port):
        yield issuer


@contextmanager
def tickets_serving(issuer: Issuer) -> Iterator[str]:
    """An MCP server with one tool, for whoever has a token of the issuer's; its endpoint."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    server = MCPServer(
        "tickets",
        token_verifier=issuer,
        auth=AuthSettings.model_validate(  # as text: an issuer is compared letter by letter
            {
                "issuer_url": issuer.url,
                "resource_server_url": url,
                "required_scopes": [SCOPE],
                "validate_token_resource": True,
            }
        ),
    )

    @server.tool()
    def open_tickets(queue: str) -> str:
        """How many tickets wait in a queue."""
        return f"{len(queue)} tickets wait in {queue}."

    with serving(server.streamable_http_app(host="127.0.0.1"), port):
        yield url
