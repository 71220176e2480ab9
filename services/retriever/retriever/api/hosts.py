"""Which names the retriever answers to: a page whose name was bound to our address is none."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bulkhead.errors import Misdirected


class Hosts:
    """Refuses a request whose one `Host` is not in `names`; the port is not looked at."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = Headers(scope=scope).getlist("host")
            if len(hosts) != 1 or _name(hosts[0]) not in self.names:
                raise Misdirected("this server does not answer to that Host")
        await self.app(scope, receive, send)


def _name(host: str) -> str:
    """A `Host` without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
