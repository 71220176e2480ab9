"""The parts of a tool server that can be looked at without one."""

from typing import Any, cast

import pytest
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from telemetry import Recorded

from bulkhead.auth import Principal, Role
from bulkhead.errors import RateLimited
from bulkhead.mcp.limits import CallerLimits
from bulkhead.mcp.metrics import OperationDuration
from bulkhead.mcp.settings import ToolServerSettings


def caller(key: str) -> Principal:
    """A principal with this key id."""
    return Principal(key, "default", frozenset(), Role.READER)


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_again_and_says_how_long_that_takes() -> None:
    clock = Clock()
    limits = CallerLimits(per_second=0.5, burst=2, concurrent=5, clock=clock)
    for _ in range(2):
        with limits.admit(caller("a")):
            pass
    with pytest.raises(RateLimited) as refused, limits.admit(caller("a")):
        pass
    assert refused.value.headers["Retry-After"] == "2"
    clock.now = 2.0
    with limits.admit(caller("a")):
        pass


def test_a_place_is_free_again_whatever_became_of_the_request() -> None:
    limits = CallerLimits(per_second=100, burst=100, concurrent=1)
    for _ in range(3):
        with pytest.raises(KeyError), limits.admit(caller("a")):
            raise KeyError
    with limits.admit(caller("a")), pytest.raises(RateLimited), limits.admit(caller("a")):
        pass


def test_idle_callers_are_forgotten_and_busy_ones_are_not() -> None:
    clock = Clock()
    limits = CallerLimits(per_second=1, burst=1, concurrent=1, clock=clock)
    with limits.admit(caller("busy")):
        for number in range(5000):
            clock.now += 1
            with limits.admit(caller(str(number))):
                pass
        assert len(limits._callers) < 1100
        clock.now += 10
        with pytest.raises(RateLimited), limits.admit(caller("busy")):
            pass


@pytest.mark.parametrize(
    ("told", "hosts"),
    [
        ({"port": 8090}, {"127.0.0.1:8090", "localhost:8090", "[::1]:8090"}),
        (
            {"port": 1, "host": "10.0.0.7"},
            {"127.0.0.1:1", "localhost:1", "[::1]:1", "10.0.0.7:1"},
        ),
        ({"port": 1, "host": "fd00::7"}, {"127.0.0.1:1", "localhost:1", "[::1]:1", "[fd00::7]:1"}),
        ({"port": 1, "host": "0.0.0.0"}, {"127.0.0.1:1", "localhost:1", "[::1]:1"}),
        ({"port": 8090, "uds": "/run/mcp.sock"}, {"localhost"}),
        (
            {"port": 1, "allowed_hosts": "mcp-filesystem:8090, a:1 ,"},
            {"mcp-filesystem:8090", "a:1"},
        ),
    ],
)
def test_the_names_a_server_answers_to(told: dict[str, str], hosts: set[str]) -> None:
    settings = ToolServerSettings.model_validate({"signing_key_file": "key", **told})
    assert settings.hosts() == hosts
    assert settings.origins() == frozenset()


@pytest.mark.parametrize(
    ("method", "params", "result", "attributes"),
    [
        ("tools/list", None, {}, {"mcp.method.name": "tools/list"}),
        ("x" * 50, {}, {}, {"mcp.method.name": "_OTHER"}),
        ("tools/call", {"name": "read"}, {}, {"gen_ai.tool.name": "read"}),
        ("tools/call", {"name": "made-up"}, {}, {"gen_ai.tool.name": "_OTHER"}),
        ("tools/call", {"name": ["read"]}, {}, {"gen_ai.tool.name": "_OTHER"}),
        ("tools/call", {"name": "read"}, {"isError": True}, {"error.type": "tool_error"}),
        ("ping", {}, MCPError(-32601, "no"), {"error.type": "-32601"}),
        ("ping", {}, KeyError("secret"), {"error.type": "KeyError"}),
    ],
)
async def test_durations_have_attributes_that_a_caller_cannot_multiply(
    method: str,
    params: dict[str, Any] | None,
    result: dict[str, Any] | Exception,
    attributes: dict[str, str],
) -> None:
    recorded = Recorded()
    middleware = OperationDuration(["read"])
    context = ServerRequestContext[Any, Any](
        session=cast(Any, None),
        lifespan_context=None,
        protocol_version="2026-07-28",
        method=method,
        params=params,
    )

    async def call_next(passed: ServerRequestContext[Any, Any]) -> dict[str, Any]:
        assert passed is context
        if isinstance(result, Exception):
            raise result
        return result

    if isinstance(result, Exception):
        with pytest.raises(type(result)):
            await middleware(context, call_next)
    else:
        assert await middleware(context, call_next) == result
    ((labels, times),) = recorded.counts("mcp.server.operation.duration").items()
    point = dict(labels)
    assert times == 1
    assert point.items() >= attributes.items()
    assert not {"secret", "made-up"} & set(point.values())
