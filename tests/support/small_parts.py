"""Small processes in the place of the embedded stack's parts, for tests."""

import os
import socket
import sys
import threading
from pathlib import Path

import psutil
from serving import free_port

from embedded.address import Address
from embedded.parts import Part

# Serves 200 on every path, as soon as it can.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write({body!r}.encode())
    def log_message(self, *words): pass
print("listening", flush=True)
class Server(http.server.HTTPServer):
    address_family = {family}
Server(({host!r}, {port}), Handler).serve_forever()
"""
SLEEPER = "import time; print('asleep', flush=True); time.sleep(600)"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "import time; print('asleep', flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
    "print(child.pid, flush=True); {then}"
)


def part(name: str, script: str, port: int = 1, host: str = "127.0.0.1") -> Part:
    address = Address(host, port)
    return Part(name, (sys.executable, "-c", script), address, "/", dict(os.environ))


def server(name: str, status: int = 200, body: str = "{}", host: str = "127.0.0.1") -> Part:
    port = free_port()
    family = int(socket.AF_INET6 if ":" in host else socket.AF_INET)
    script = SERVER.format(host=host, port=port, family=family, status=status, body=body)
    return part(name, script, port, host)


def first_line(log: Path) -> str:
    """A process's first line of output; waits for it."""
    deadline = threading.Event()
    for _ in range(1200):
        if log.exists() and "\n" in (text := log.read_text()):
            return text.splitlines()[0]
        deadline.wait(0.05)
    raise AssertionError(f"{log.name} stayed empty")


def wait_forever() -> None:
    """Until a signal handler raises; a hang ends as a failure."""
    threading.Event().wait(100)
    raise AssertionError("nothing woke the main thread")


def is_gone(pid: int) -> bool:
    """Whether it has ended; a kill takes a moment, and whether anyone reaps it is not ours."""
    for _ in range(1200):
        try:
            if psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
        except psutil.NoSuchProcess:
            return True
        threading.Event().wait(0.05)
    return False
