"""The quality service beside the embedded stack: its canaries ask about the demo's documents."""

import os
import sys
from collections.abc import Mapping

from bulkhead.proxies import spare
from embedded.address import address_of
from embedded.parts import Part, State, retriever_url
from embedded.preflight import ensure_key


def quality(kept: State, environment: Mapping[str, str] = os.environ) -> Part:
    """The quality service on QUALITY_PORT, probing the retriever of `environment`.

    Its token is made on first use; who wants answers evaluated gives it to the retriever.
    """
    own = address_of(environment, "QUALITY", 8082)
    token = kept.folder / "quality-token"
    ensure_key(token, prefix="")
    told = {
        **environment,
        "QUALITY_PORT": str(own.port),
        "QUALITY_RETRIEVER_URL": retriever_url(environment),
        "QUALITY_API_KEY_FILE": str(kept.key),
        "QUALITY_TOKEN_FILE": str(token),
        "PYTHONUNBUFFERED": "1",
    }
    spare(told, own.host, address_of(environment, "RETRIEVER", 8080).host)
    return Part("quality", (sys.executable, "-m", "quality"), own, "/healthz", told)
