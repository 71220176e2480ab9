"""The quality service beside the embedded stack: its canaries ask about the demo's documents."""

import os
import sys
from collections.abc import Mapping

from bulkhead.proxies import spare
from embedded.address import address_of
from embedded.parts import LLM_KEY, Part, State, retriever_url
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
    if "QUALITY_LLM_URL" not in environment and "RETRIEVER_LLM_URL" not in environment:
        told["QUALITY_LLM_URL"] = f"{address_of(environment, 'LLM', 8000).url}/v1"
        told["QUALITY_LLM_API_KEY_FILE"] = environment.get(LLM_KEY) or str(kept.llm_key)
    spare(told, own.host, address_of(environment, "RETRIEVER", 8080).host)
    return Part("quality", (sys.executable, "-m", "quality"), own, "/healthz", told)
