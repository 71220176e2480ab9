"""The quality service beside the embedded stack: its canaries ask about the demo's documents."""

import os
import sys
from collections.abc import Mapping

from bulkhead.proxies import spare
from embedded.address import address_of
from embedded.parts import LLM_KEY, Part, State, retriever_url
from embedded.preflight import ensure_key


def handing_over(kept: State, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the retriever is told, so that it hands answers over; what is set already stays."""
    own = address_of(environment, "QUALITY", 8082)
    told = {
        "RETRIEVER_QUALITY_URL": own.url,
        "RETRIEVER_QUALITY_TOKEN_FILE": str(kept.folder / "quality-token"),
    }
    return {**told, **environment}


def quality(kept: State, environment: Mapping[str, str] = os.environ) -> Part:
    """The quality service on QUALITY_PORT, probing the retriever of `environment`.

    Its token is made on first use.
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
    if "QUALITY_LLM_URL" not in environment:  # the retriever's model judges
        own_llm = f"{address_of(environment, 'LLM', 8000).url}/v1"
        own_key = environment.get(LLM_KEY) or str(kept.llm_key)
        elsewhere = environment.get("RETRIEVER_LLM_URL")
        key = environment.get("RETRIEVER_LLM_API_KEY_FILE", "") if elsewhere else own_key
        told["QUALITY_LLM_URL"] = elsewhere or own_llm
        if key:
            told["QUALITY_LLM_API_KEY_FILE"] = key
    spare(told, own.host, address_of(environment, "RETRIEVER", 8080).host)
    return Part("quality", (sys.executable, "-m", "quality"), own, "/healthz", told)
