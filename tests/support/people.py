"""Keys for tests of identity: made by the operator through the API, each with a client."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rig import Api


class People:
    """Makes keys and clients that use them."""

    def __init__(self, operator: Api, clients: ExitStack) -> None:
        self._operator = operator
        self._clients = clients

    def client(self, key: str) -> Api:
        """A client with this key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._clients.enter_context(
            Api(base_url=self._operator.base_url, headers=headers, timeout=60)
        )

    def made(self, tenant: str, role: str, *groups: str, **fields: Any) -> dict[str, Any]:
        """A key, as its creation tells it."""
        body = {"tenant": tenant, "role": role, "groups": groups, **fields}
        reply = self._operator.post("/v1/keys", json=body)
        assert reply.status_code == 201, reply.text
        made: dict[str, Any] = reply.json()
        return made

    def join(self, tenant: str, role: str, *groups: str, **fields: Any) -> Api:
        """A client with a new key."""
        return self.client(self.made(tenant, role, *groups, **fields)["key"])


@contextmanager
def people(operator: Api) -> Iterator[People]:
    """Keys of the retriever that `operator` manages."""
    with ExitStack() as clients:
        yield People(operator, clients)
