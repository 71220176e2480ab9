"""The folder of sockets: each replica has one there, named after its machine.

`python -m parser.sockets` is a container's health check; the standard library alone, so that it is
quick.
"""

import hashlib
import os
import socket
import sys
from pathlib import Path


def own(folder: Path) -> Path:
    """Where this machine's socket lies."""
    name = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return folder / f"{name}.sock"


def clear(folder: Path) -> None:
    """Remove the sockets that nobody listens on any more. Raises `OSError`."""
    for path in folder.glob("*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            try:
                other.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)


def ready(path: Path) -> bool:
    """Whether the socket at `path` is served by a parser that can read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(4)
        client.connect(str(path))
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return b" 200 " in client.recv(64)


if __name__ == "__main__":
    sys.exit(not ready(own(Path(os.environ["PARSER_SOCKETS"]))))
