"""Servers of others are logged in to as their entry says, and a secret goes where it belongs."""

from pathlib import Path
from typing import Any

import pytest
from desk import write_list
from oauth import CLIENT, SCOPE, SECRET, Issuer, issuing, tickets_serving
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retriever.clients.mcp import SELF, McpServer, ToolServerError
from retriever.tool_servers import read_tool_servers

SECONDS = 60.0


def server(folder: Path, url: str, **auth: Any) -> McpServer:
    listed = write_list(folder, {"name": "tickets", "url": url, "auth": auth})
    (entry,) = read_tool_servers(listed)
    return McpServer(entry, 2**20)


def client(folder: Path, url: str, issuer: Issuer, secret: str = SECRET) -> McpServer:
    (folder / "secret").write_text(secret)
    return server(
        folder,
        url,
        type="client_credentials",
        issuer=issuer.url,
        client_id=CLIENT,
        client_secret_file="secret",
        scope=SCOPE,
    )


async def test_client_credentials_bring_one_token_for_many_calls(tmp_path: Path) -> None:
    with issuing() as issuer, tickets_serving(issuer) as url:
        tickets = client(tmp_path, url, issuer)
        assert list(await tickets.definitions(SELF, SECONDS)) == ["open_tickets"]
        answer = await tickets.call(SELF, "open_tickets", {"queue": "ferry"}, SECONDS)
        await tickets.check()
        assert (answer.text, answer.is_error) == ("5 tickets wait in ferry.", False)
        (asked,) = issuer.asked
        assert asked["grant_type"] == "client_credentials"
        assert (asked["client"], asked["scope"], asked["resource"]) == (CLIENT, SCOPE, url)
        issuer.given.clear()  # they end before their time: another one is asked for
        await tickets.check()
        assert len(issuer.asked) == 2
        await tickets.close()


async def test_a_wrong_client_secret_is_told_and_not_the_secret(tmp_path: Path) -> None:
    with issuing() as issuer, tickets_serving(issuer) as url:
        tickets = client(tmp_path, url, issuer, secret="another-secret")
        with pytest.raises(ToolServerError) as caught:
            await tickets.definitions(SELF, SECONDS)
        assert "another-secret" not in str(caught.value) and "127.0.0.1" not in str(caught.value)
        await tickets.close()


async def test_a_server_that_names_another_issuer_gets_no_secret(tmp_path: Path) -> None:
    with issuing() as ours, issuing() as theirs, tickets_serving(theirs) as url:
        tickets = client(tmp_path, url, ours)
        with pytest.raises(ToolServerError):
            await tickets.definitions(SELF, SECONDS)
        assert ours.asked == theirs.asked == []
        await tickets.close()


async def test_a_server_sends_the_login_to_no_address_that_is_not_in_the_list(
    tmp_path: Path,
) -> None:
    """Its 401 names a place of its own choosing: inside our networks, say."""
    visits: list[str] = []

    async def noted(request: Request) -> Response:
        visits.append(request.url.path)
        return JSONResponse({})

    with serving(Starlette(routes=[Route("/{rest:path}", noted)])) as inside, issuing() as issuer:
        told = f'Bearer resource_metadata="{inside}/metadata"'

        async def refusing(request: Request) -> Response:
            return JSONResponse({}, 401, {"WWW-Authenticate": told})

        app = Starlette(routes=[Route("/{rest:path}", refusing, methods=["GET", "POST"])])
        with serving(app) as url:
            tickets = client(tmp_path, f"{url}/mcp", issuer)
            with pytest.raises(ToolServerError):
                await tickets.definitions(SELF, SECONDS)
            await tickets.close()
    assert visits == []


async def test_a_bearer_goes_with_each_request_and_none_where_none_is_asked_for(
    tmp_path: Path,
) -> None:
    seen: list[str | None] = []

    async def noted(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return JSONResponse({}, 400)

    (tmp_path / "token").write_text("t0ken\n")
    with serving(Starlette(routes=[Route("/mcp", noted, methods=["GET", "POST"])])) as url:
        for auth in ({"type": "bearer", "token_file": "token"}, {"type": "none"}):
            one = server(tmp_path, f"{url}/mcp", **auth)
            with pytest.raises(ToolServerError):
                await one.definitions(SELF, SECONDS)
            await one.close()
    half = len(seen) // 2
    assert seen == ["Bearer t0ken"] * half + [None] * half and half
