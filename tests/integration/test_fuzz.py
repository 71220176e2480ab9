"""Whatever the OpenAPI document allows, and what it does not, gets an answer and never a 500."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from people import people
from rig import KEY, PORTS, SOUP, running
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from scripted_llm import ScriptedLLM

from bulkhead.errors import ErrorBody
from bulkhead.protocol import bounded_protocol
from retriever.settings import RetrieverSettings

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def address(settings: RetrieverSettings) -> Iterator[tuple[str, list[str]]]:
    """Where the retriever is, and a key of each role, the operator's and none."""
    # Bounded as in production: uvicorn alone answers an address of 64 KiB in plain text.
    served = running(settings, http=bounded_protocol(settings))
    with served as api, people(api) as team:
        api.ingest({"text": PORTS, "source": "ports.md"}, {"text": SOUP, "source": "soup.md"})
        keys = [team.made("default", role)["key"] for role in ("reader", "writer", "admin")]
        yield str(api.base_url), [KEY, *keys, ""]


@pytest.mark.timeout(300)
def test_no_request_makes_a_server_error(address: tuple[str, list[str]], llm: ScriptedLLM) -> None:
    url, keys = address
    llm.say("The retriever listens on port 8080.")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    failures: list[str] = []
    asked = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode), key=st.sampled_from(keys))
            @budget(
                max_examples=EXAMPLES,
                database=None,
                derandomize=True,  # a red run can be run again
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            def ask(case: schemathesis.Case[Any], key: str) -> None:
                nonlocal asked
                asked += 1
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                reply = case.call(headers=headers)
                case.validate_response(reply, checks=CHECKS)
                if reply.status_code >= 400:
                    ErrorBody.model_validate_json(reply.content)

            try:
                ask()
            except Unsatisfiable:  # a call without input has no bad one
                assert mode is GenerationMode.NEGATIVE, operation.label
            except (FailureGroup, AssertionError, ValueError) as error:
                failures.append(f"{operation.label} {mode.value}: {error}")
    assert asked > 100
    assert not failures, "\n\n".join(failures)
