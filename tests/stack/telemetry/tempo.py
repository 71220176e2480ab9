"""Takes traces as Tempo does, and gives one out by its id: `GET /api/traces/ID`, in protobuf.

A trace of Tempo's has the form of what OTLP sends, and messages one after the other are one.
"""

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kept: deque[bytes] = deque(maxlen=5000)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take spans in."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            kept.append(body)
        self._reply(200 if self.path == "/v1/traces" else 404)

    def do_GET(self) -> None:
        """A trace, if one span of it is there; or that this is Tempo, for Prometheus."""
        place, _, trace_id = self.path.rpartition("/")
        if self.path == "/metrics":
            self._reply(200, b"tempo_build_info 1\n")
        elif place == "/api/traces":
            wanted = bytes.fromhex(trace_id)
            found = b"".join(body for body in list(kept) if wanted in body)
            self._reply(200 if found else 404, found)
        else:
            self._reply(200 if self.path == "/ready" else 404)

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing of a request that went well."""


if __name__ == "__main__":
    threading.Thread(target=ThreadingHTTPServer(("", 4318), Handler).serve_forever).start()
    ThreadingHTTPServer(("", 3200), Handler).serve_forever()
