"""What a pod of a component can do, seen from one that stands behind the same walls.

Runs as `python -c` in an image of this project's; it needs nothing else. Its one argument is JSON:
`{"targets": [[HOST, PORT]…], "names": [NAME…], "seconds": N}`; a host may name a variable as
`$NAME`. Its last line is JSON: how each try ended.
"""

import ctypes
import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

_GET_NO_NEW_PRIVS = 39
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - where one would lie


def connect(host: str, port: int, seconds: float) -> str:
    """How a connection ends: `OK`, or the name of its error."""
    address = os.environ.get(host[1:], "") if host.startswith("$") else host
    if not address:
        return "UNKNOWN"
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return "OK"
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)


def name(asked: str) -> str:
    """How a look for a name ends."""
    try:
        socket.getaddrinfo(asked, 443)
    except OSError as error:
        return type(error).__name__
    return "OK"


def writes(path: Path) -> str:
    """How writing a file ends."""
    try:
        path.write_text("a")
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    path.unlink()
    return "OK"


def status() -> dict[str, str]:
    """What the kernel holds of this process: capabilities, privileges, seccomp."""
    said = Path("/proc/self/status").read_text().splitlines()
    lines = dict(line.split(":\t", 1) for line in said if ":\t" in line)
    # gVisor's older releases have no line for it, and answer the call.
    lines.setdefault("NoNewPrivs", str(ctypes.CDLL(None).prctl(_GET_NO_NEW_PRIVS, 0, 0, 0, 0)))
    return {key: lines.get(key, "") for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid")}


def user_namespace() -> str:
    """How making a user namespace ends: in one, a process has every capability."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0:
        return "OK"
    return errno.errorcode.get(ctypes.get_errno(), "?")


def tries(told: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    return {
        "targets": [connect(host, port, told["seconds"]) for host, port in told["targets"]],
        "names": [name(one) for one in told["names"]],
        "root": writes(Path("/bulkhead-probe")),
        "tmp": writes(Path("/tmp/bulkhead-probe")),  # noqa: S108 - it is the pod's own, in memory
        "token": "OK" if Path(TOKEN).exists() else "ENOENT",
        "kernel": Path("/proc/version").read_text().strip(),
        "user namespace": user_namespace(),
        "status": status(),
    }


if __name__ == "__main__":
    print(json.dumps(tries(json.loads(sys.argv[1]))))
