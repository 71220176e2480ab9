"""Which addresses answer, and whether a name of the world is known.

Runs in a container that has joined the other's network. First it listens on each address that it
is given as its own, and connects there: what it says of the others counts only if that is `OK`.

    reach.py '{"own": [ADDRESS…], "targets": [[ADDRESS, PORT]…], "name": NAME, "seconds": N}'

prints `{"own": {ADDRESS: OUTCOME}, "targets": [OUTCOME…], "name": OUTCOME}`. An outcome is `OK` or
the name of an error, as `ECONNREFUSED`, which is an answer too, or `ETIMEDOUT`.
"""

import asyncio
import errno
import json
import socket
import sys
from typing import Any

Json = dict[str, Any]


async def connect(address: str, port: int, seconds: float) -> str:
    """How a connection ends."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "OK"


async def listen_and_connect(address: str, seconds: float) -> str:
    """How a connection to a port that is open ends."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), address) as server:
        return await connect(address, server.sockets[0].getsockname()[1], seconds)


def resolve(name: str) -> str:
    """How a look for a name ends."""
    try:
        socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        names = {getattr(socket, one): one for one in dir(socket) if one.startswith("EAI_")}
        return names.get(error.errno, str(error.errno))
    return "OK"


async def reach(own: list[str], targets: list[tuple[str, int]], name: str, seconds: float) -> Json:
    """All at once."""
    controls = [await listen_and_connect(address, seconds) for address in own]
    found = asyncio.to_thread(resolve, name)
    outcomes = asyncio.gather(*(connect(*target, seconds) for target in targets))
    return {
        "own": dict(zip(own, controls, strict=True)),
        "targets": await outcomes,
        "name": await found,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(reach(**json.loads(sys.argv[1])))))
