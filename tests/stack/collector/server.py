"""Takes OTLP over HTTP as the collector does, and keeps it: `GET` of the same paths gives each
request in base64, a line each. Nothing is redacted, sampled or sent on."""

import base64
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kept: dict[str, deque[bytes]] = {
    "/v1/traces": deque(maxlen=2000),
    "/v1/metrics": deque(maxlen=200),
}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take telemetry in."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path in kept:
            kept[self.path].append(body)
        self._reply(200 if self.path in kept else 404)

    def do_GET(self) -> None:
        """Give it out."""
        self._reply(200, b"\n".join(base64.b64encode(body) for body in list(kept[self.path])))

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing of a request that went well."""


ThreadingHTTPServer(("", 4318), Handler).serve_forever()
