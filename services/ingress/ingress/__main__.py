"""`python -m ingress`: INGRESS_ROUTES names the routes, `8080=retriever:8080/readyz` and so on."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

from ingress.relay import Relay, Route

_HOST = "0.0.0.0"  # noqa: S104 - in a container, whose networks are its walls
_MOST = 512
_GRACE_SECONDS = 9.0  # the retriever gives its streams eight; a container gets ten in all


async def serve(routes: list[Route]) -> None:
    """Relay until SIGTERM or SIGINT."""
    relays = [Relay(route, _MOST) for route in routes]
    servers = [await relay.start(_HOST) for relay in relays]
    print("relaying", *(f"{r.port} to {r.host}:{r.target}" for r in routes))  # noqa: T201
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as watching:
        for relay in relays:
            await watching.enter_async_context(relay.far_ends.watched())
        await ended.wait()
    for server in servers:
        server.close()
    await asyncio.gather(*(relay.close(_GRACE_SECONDS) for relay in relays))


def main() -> None:
    """Read the routes and serve them."""
    try:
        routes = [Route.parse(text) for text in os.environ["INGRESS_ROUTES"].split()]
        asyncio.run(serve(routes))
    except KeyError:
        sys.exit("ingress: INGRESS_ROUTES must be set")
    except (ValueError, OSError) as error:
        sys.exit(f"ingress: {error}")


if __name__ == "__main__":
    main()
