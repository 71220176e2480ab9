"""An agent that knows the retriever's address alone finds the provider, and comes in.

The client is the MCP SDK's own, the provider a real one: protected resource metadata (RFC 9728),
registration by the client itself, code flow with PKCE, a token for this resource (RFC 8707).
"""

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl
from real_provider import SETTINGS, providing
from rig import Api, running
from serving import free_port

from retriever.settings import RetrieverSettings

BACK = (
    "http://127.0.0.1:1/back"  # nobody listens there: the test reads the address that leads to it
)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def issuer(port: int) -> Iterator[str]:
    with providing(f"http://127.0.0.1:{port}") as issuer:
        yield issuer


@pytest.fixture
def api(settings: RetrieverSettings, issuer: str, port: int) -> Iterator[Api]:
    audience = f"http://127.0.0.1:{port}/mcp"
    told = {
        **settings.model_dump(),
        **SETTINGS,
        "oidc_audience": audience,
        "oidc_issuer": issuer,
        "port": port,
    }
    with running(RetrieverSettings.model_validate(told), port=port) as api:
        yield api


class Memory:
    """What the client keeps."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def person(address: str) -> str:
    """Fills in the provider's forms as a person would; the address that leads back."""
    async with httpx2.AsyncClient(timeout=60) as browser:
        reply = await browser.get(address)
        while True:
            where = reply.headers.get("location", "")
            if where.startswith(BACK):
                return where
            if where:
                address = urljoin(address, where)
                reply = await browser.get(address)
                continue
            found = re.search(r'action="([^"]+)"', reply.text)
            assert found is not None, reply.text
            fields = {"login": "ada", "password": "x"}
            fields["prompt"] = "login" if 'name="login"' in reply.text else "consent"
            address = urljoin(address, found[1])
            reply = await browser.post(address, data=fields)


def oauth(api: Api, memory: Memory) -> OAuthClientProvider:
    """The SDK's client, with a person beside it."""
    seen: list[str] = []

    async def go(address: str) -> None:
        assert parse_qs(urlsplit(address).query)["code_challenge_method"] == ["S256"]
        seen.append(await person(address))

    async def back() -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(seen[-1]).query)
        return AuthorizationCodeResult(
            code=query["code"][0], state=query["state"][0], iss=query["iss"][0]
        )

    metadata = OAuthClientMetadata(
        client_name="an agent",
        redirect_uris=[AnyUrl(BACK)],
        token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"],
    )
    address = f"{api.base_url}/mcp"
    return OAuthClientProvider(address, metadata, memory, go, back)


def test_the_sdk_s_client_finds_the_provider_logs_in_and_calls_a_tool(api: Api) -> None:
    memory = Memory()

    async def asking() -> list[str]:
        async with (
            httpx2.AsyncClient(auth=oauth(api, memory), timeout=60) as http,
            Client(streamable_http_client(f"{api.base_url}/mcp", http_client=http)) as agent,
        ):
            reply = await agent.call_tool("search_documents", {"query": "ports"})
            assert not reply.is_error, reply.content
            return [tool.name for tool in (await agent.list_tools()).tools]

    assert "search_documents" in asyncio.run(asking())
    assert memory.tokens is not None
    bearer = {"Authorization": f"Bearer {memory.tokens.access_token}"}
    with httpx2.Client(base_url=api.base_url, timeout=60) as anyone:
        assert anyone.get("/v1/documents", headers=bearer).status_code == 200
