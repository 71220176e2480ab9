"""Takes OTLP over HTTP as the collector does: metrics go on to Prometheus, traces are kept.

`GET /traces` gives what was kept, a request in base64 a line. Nothing is redacted or sampled.
"""

import base64
import urllib.error
import urllib.request
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROMETHEUS = "http://prometheus:9090/api/v1/otlp/v1/metrics"
traces: deque[bytes] = deque(maxlen=2000)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take telemetry in."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            traces.append(body)
        self._reply(self._passed_on(body) if self.path == "/v1/metrics" else 200)

    def _passed_on(self, body: bytes) -> int:
        """Prometheus' status; 503, at which the sender tries again, when it does not answer."""
        names = ("content-type", "content-encoding")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        try:
            request = urllib.request.Request(PROMETHEUS, body, headers)
            with urllib.request.urlopen(request, timeout=10):
                return 200
        except urllib.error.HTTPError as error:
            print("Prometheus refused metrics:", error.code, error.read()[:500])
            return error.code
        except OSError as error:
            print("Prometheus does not answer:", error)
            return 503

    def do_GET(self) -> None:
        """Give the traces out."""
        self._reply(200, b"\n".join(base64.b64encode(body) for body in list(traces)))

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing of a request that went well."""


ThreadingHTTPServer(("", 4318), Handler).serve_forever()
