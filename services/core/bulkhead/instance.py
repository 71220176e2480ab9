"""What tells a process from the others that do the same."""

import os
import socket
from functools import cache

from opentelemetry.sdk.resources import OTELResourceDetector

from bulkhead.telemetry import names


@cache
def instance_id() -> str:
    """`service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES`, or the host's name: a container's id, a
    pod's name. Processes that share a host tell themselves apart by the variable."""
    told = OTELResourceDetector().detect().attributes.get(names.INSTANCE_ID)
    return str(told or os.environ.get("HOSTNAME") or socket.gethostname())
