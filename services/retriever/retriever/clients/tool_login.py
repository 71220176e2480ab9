"""How the retriever logs in at a tool server: what goes with each request, and its secret."""

from collections.abc import Callable, Generator

import httpx2
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from bulkhead.auth import Principal
from bulkhead.settings import read_secret
from bulkhead.tool_tokens import mint, read_signing_key
from retriever.tool_servers import Bearer, ClientCredentials, ServerEntry, Signed

TOKEN_SECONDS = 60
"""How long a token of ours lives; one is minted for every connection."""

Login = Callable[[Principal], httpx2.Auth | None]


def login(entry: ServerEntry) -> tuple[Login, str]:
    """What logs in at the server, and the secret it does it with; empty where there is none.

    Raises `ValueError`, naming the file, where the secret cannot be read.
    """
    auth = entry.auth
    if isinstance(auth, Signed):
        key = read_signing_key(auth.key_file)
        audience = f"mcp-{entry.name}"
        return lambda who: _Token(mint(key, audience, who, TOKEN_SECONDS)), key.decode()
    if isinstance(auth, Bearer):
        token = read_secret(auth.token_file)
        return lambda who: _Token(token), token
    if isinstance(auth, ClientCredentials):
        secret = read_secret(auth.client_secret_file)
        # One for all calls: it keeps the token until it ends, and asks for the next one.
        provider = ClientCredentialsOAuthProvider(
            str(entry.url), _Memory(), auth.client_id, secret, scope=auth.scope, issuer=auth.issuer
        )
        return lambda who: provider, secret
    return lambda who: None, ""


class _Token(httpx2.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class _Memory:
    """The SDK's store of tokens, which a restart forgets."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info
