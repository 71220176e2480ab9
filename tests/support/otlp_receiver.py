"""An OTLP/HTTP receiver for tests: it keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from posts import taking_posts


class Received:
    """What came, as bytes and as spans by the name of their service."""

    def __init__(self) -> None:
        self.url = ""
        self._bodies: list[bytes] = []
        self._came = threading.Condition()  # its lock may be taken again by who holds it

    def add(self, body: bytes) -> None:
        with self._came:
            self._bodies.append(body)
            self._came.notify_all()

    def raw(self) -> bytes:
        """Everything that came."""
        with self._came:
            return b"\n".join(self._bodies)

    def spans(self, trace_id: str) -> list[tuple[str, Span]]:
        """The spans of one trace, each with its service."""
        found = []
        with self._came:
            bodies = list(self._bodies)
        for body in bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                attributes = {one.key: one.value for one in resource.resource.attributes}
                service = attributes["service.name"].string_value
                for scope in resource.scope_spans:
                    found += [
                        (service, span) for span in scope.spans if span.trace_id.hex() == trace_id
                    ]
        return found

    def trace(
        self, trace_id: str, services: set[str], seconds: float = 60
    ) -> list[tuple[str, Span]]:
        """The spans of a trace, once each of these services has sent its outermost."""

        def complete() -> bool:
            spans = self.spans(trace_id)
            servers = {name for name, span in spans if span.kind == Span.SPAN_KIND_SERVER}
            return servers >= services

        with self._came:
            self._came.wait_for(complete, seconds)
        return self.spans(trace_id)


@contextmanager
def receiving() -> Iterator[Received]:
    """A receiver on a free port of loopback."""
    received = Received()
    with taking_posts(received.add) as received.url:
        yield received
