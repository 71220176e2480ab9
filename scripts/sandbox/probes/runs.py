"""Starts processes without end, and asks for a user namespace, in the container itself.

    runs.py MOST

prints `{"processes": …, "user namespace": …}`, each `{"control": OUTCOME, "attempt": OUTCOME}`:
`OK`, or the name of an error. The control of the first is a first process, of the second that the
system call can be made.
"""

import contextlib
import errno
import json
import os
import signal
import sys
from typing import Any

Json = dict[str, Any]
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_SECONDS = 10  # after which a process ends by itself, should nobody end it


def name(number: int) -> str:
    """The name of an error."""
    return errno.errorcode.get(number, str(number))


def processes(most: int) -> Json:
    """Start processes until it is refused, and end them all."""
    started: list[int] = []
    refused = "OK"
    try:
        while len(started) < most:
            child = os.fork()
            if child == 0:
                signal.alarm(_SECONDS)
                signal.pause()
                os._exit(0)
            started.append(child)
    except OSError as error:
        refused = name(error.errno or 0)
    finally:
        for child in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in started:
            os.waitpid(child, 0)
    return {"control": "OK" if started else refused, "attempt": refused, "count": len(started)}


def user_namespace() -> Json:
    """Ask for one's own, which would bring all capabilities."""
    try:
        import ctypes

        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (ImportError, OSError, AttributeError) as error:
        return {"control": f"this Python cannot make the call: {error}", "attempt": ""}
    child = os.fork()
    if child == 0:
        os._exit(0 if unshare(_NEW_USER) == 0 else ctypes.get_errno())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"control": "OK", "attempt": name(status) if status else "OK"}


if __name__ == "__main__":
    found = {"user namespace": user_namespace(), "processes": processes(int(sys.argv[1]))}
    print(json.dumps(found))
