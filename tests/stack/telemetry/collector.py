"""Takes OTLP over HTTP as the collector does: traces go on to Tempo as they are, metrics are given
out for Prometheus to scrape, for Debian's has no receiver of OTLP. Nothing is redacted or sampled.
"""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp import Labels, line, series

TEMPO = "http://tempo:4318/v1/traces"
known: dict[tuple[str, Labels], float] = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take telemetry in; what Tempo does not take is 503, so that it is sent again."""
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 200
        if self.path == "/v1/traces":
            request = urllib.request.Request(
                TEMPO, body, {"content-type": "application/x-protobuf"}
            )
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except OSError:
                status = 503
        elif self.path == "/v1/metrics":
            with lock:
                for name, labels, value in series(ExportMetricsServiceRequest.FromString(body)):
                    known[name, labels] = value
        else:
            status = 404
        self._reply(status)

    def do_GET(self) -> None:
        """Every series that is known."""
        with lock:
            lines = [line(name, labels, value) for (name, labels), value in sorted(known.items())]
        self._reply(200, "".join(f"{one}\n" for one in lines).encode())

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing of a request that went well."""


if __name__ == "__main__":
    threading.Thread(target=ThreadingHTTPServer(("", 8888), Handler).serve_forever).start()
    ThreadingHTTPServer(("", 4318), Handler).serve_forever()
