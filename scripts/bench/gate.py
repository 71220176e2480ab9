"""What the gate costs a tool call: the call through the gate, less the tool itself.

The tool server answers at once, in this process, with a result of about 1 KB, so what is measured
is the gate: name, arguments, schema, secrets both ways, budgets, cleaning, hash and audit record.
"""

import asyncio
import json
import statistics
import time
from typing import Annotated, Any

import typer

from bulkhead.auth import Principal, Role
from bulkhead.leaks import SecretScanner
from retriever.agent.approvals import Approvals
from retriever.agent.gate import Gate, Guards
from retriever.agent.policy import PACKAGED, Definition, Policy
from retriever.agent.servers import Result
from retriever.database import Database, database_url

_TOOL = "filesystem__read_text"
_RESULT = "The retriever listens on port 8080 [of loopback]. It answers questions.\n" * 14
_KNOWN = [f"bh_known-secret-number-{n}" for n in range(6)]


class Instant:
    """A tool server that takes no time."""

    def __init__(self, definitions: dict[str, Definition]) -> None:
        self._definitions = definitions

    async def definitions(self, principal: Principal, seconds: float) -> dict[str, Definition]:
        return self._definitions

    async def call(
        self, principal: Principal, tool: str, arguments: dict[str, Any], seconds: float
    ) -> Result:
        return Result(_RESULT)


def main(calls: Annotated[int, typer.Option(help="Calls to time.")] = 5000) -> None:
    """Time the gate."""
    policy = Policy.load(PACKAGED)
    tool = policy.tools[_TOOL]
    server = Instant({one.policy.tool: one.definition for one in policy.of("filesystem")})
    scanner = SecretScanner(_KNOWN)
    nowhere = Database(database_url("postgresql://bench@/none", None))  # reading needs no approval
    approvals = Approvals(nowhere, 60)
    guards = Guards(policy, approvals, scanner, lambda record: None, print, frozenset())
    principal = Principal("bench", "default", frozenset(), Role.READER)
    raw = json.dumps({"path": "docs/architecture.md"})

    async def timed() -> list[float]:
        taken = []
        for _ in range(calls):
            gate = Gate(guards, principal, {"filesystem": server}, {_TOOL: tool})
            started = time.perf_counter()
            step = await gate.call(_TOOL, raw)
            taken.append((time.perf_counter() - started) * 1000)
            assert step.outcome == "done", step.detail
        return sorted(taken)

    taken = asyncio.run(timed())
    print(
        f"gate, per call: median {statistics.median(taken):.3f} ms,"
        f" 95th percentile {taken[int(len(taken) * 0.95)]:.3f} ms, {calls} calls"
    )


if __name__ == "__main__":
    typer.run(main)
