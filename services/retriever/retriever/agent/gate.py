"""The one way to a tool. Every call of the model passes here, and nowhere else.

A `Gate` lives as long as one question. It knows what was called, what was spent, and whether
anything that others wrote has been read; a refusal is a step like any other, and never raises.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bulkhead.auth import Principal
from bulkhead.errors import ApiError
from bulkhead.leaks import SecretScanner
from retriever.agent.approvals import Approvals
from retriever.agent.audit import Audit, ToolCallRecord
from retriever.agent.canonical import digest, strict_object
from retriever.agent.functions import Function, as_function
from retriever.agent.policy import AllowedTool, DefinitionChangedError, Policy, Risk
from retriever.agent.servers import Result, ToolServer, check_definitions
from retriever.agent.steps import Outcome, PendingApproval, Step
from retriever.agent.untrusted import clean
from retriever.clients.mcp import ToolServerError
from retriever.index.model import Hit

_UNREAD = "0" * 64  # the hash of arguments that were too large, or no JSON object


@dataclass(frozen=True, slots=True)
class Guards:
    """What all gates of the process share."""

    policy: Policy
    approvals: Approvals
    scanner: SecretScanner
    audit: Audit
    fail: Callable[[str], None]
    """Ends the process."""
    trusted: frozenset[str]
    """The servers whose descriptions are ours."""

    def changed(self, error: DefinitionChangedError) -> None:
        """A tool is not what was pinned: end the process, and say how it differs."""
        self.fail(f"a tool is not what the policy pinned; see scripts/pin_tools.py\n{error}")


class _Stop(Exception):
    """The call ends here, with this outcome."""

    def __init__(
        self, outcome: Outcome, detail: str, approval: PendingApproval | None = None
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.approval = approval


class Gate:
    """The calls of one question, by one principal."""

    def __init__(
        self,
        guards: Guards,
        principal: Principal,
        servers: Mapping[str, ToolServer],
        allowed: Mapping[str, AllowedTool],
    ) -> None:
        """`allowed` are the policy's tools that this request asked for, by name."""
        self._guards = guards
        self._principal = principal
        self._servers = servers
        self._allowed = allowed
        self.budget = guards.policy.request
        """What this question may spend in all."""
        self._deadline = time.monotonic() + self.budget.seconds
        self._calls = 0
        self._calls_of = Counter[str]()
        self._bytes = 0
        self._seen: set[str] = set()
        self._checked: set[str] = set()
        self.tainted = False
        """Something that others wrote has entered the conversation."""
        self.down: list[str] = []
        """Servers that did not answer."""

    @property
    def argument_bytes(self) -> int:
        """Beyond it the arguments of a call are refused, and need not be heard out."""
        return self._guards.policy.argument_bytes

    @property
    def exhausted(self) -> bool:
        """More calls were asked for than one question may make."""
        return self._calls > self.budget.calls

    def functions(self) -> list[Function]:
        """What the model is told now of the tools that it may call."""
        trusted = self._guards.trusted
        return [as_function(tool, tool.policy.server in trusted) for tool in self.offered()]

    def offered(self) -> list[AllowedTool]:
        """The tools that the model may be told of now."""
        if self._calls >= self.budget.calls or time.monotonic() >= self._deadline:
            return []
        return [
            tool
            for tool in self._allowed.values()
            if tool.policy.server in self._servers
            and tool.policy.server not in self.down
            and not (self.tainted and tool.policy.risk is Risk.WRITE)
        ]

    async def call(self, name: str, raw_arguments: str) -> Step:
        """Run the tool that the model calls `name`, if all rules let it.

        `raw_arguments` are the model's words. Cancelled, the call to the server is, too.
        """
        started = time.perf_counter()
        self._calls += 1
        tool = self._allowed.get(name)
        run = _Run(self._principal, tool, name, f"call-{self._calls}")
        try:
            result = await self._through(tool, raw_arguments, run)
        except _Stop as stop:
            step = run.step(stop.outcome, stop.detail, started, approval=stop.approval)
        except asyncio.CancelledError:
            self._guards.audit(run.record(Outcome.CANCELLED, started))
            raise
        else:
            step = result
        self._guards.audit(run.record(step.outcome, started))
        return step

    async def _through(self, tool: AllowedTool | None, raw: str, run: "_Run") -> Step:
        started = time.perf_counter()
        arguments = self._arguments(tool, raw, run)
        assert tool is not None
        self._within_budgets(tool, run)
        await self._may_write(tool, arguments, run)
        server = self._servers[tool.policy.server]
        seconds = min(tool.policy.seconds, max(self._deadline - time.monotonic(), 0.01))
        try:
            async with asyncio.timeout(seconds):
                await self._check(tool.policy.server, server)
                result = await server.call(
                    self._principal, tool.policy.tool, arguments, tool.policy.seconds
                )
        except DefinitionChangedError as error:
            self._guards.changed(error)
            raise self._gone(tool, "its definition is not the pinned one") from error
        except TimeoutError as error:
            raise self._gone(tool, f"no answer within {seconds:.3g} s") from error
        except ToolServerError as error:
            raise self._gone(tool, str(error)) from error
        except ApiError as error:  # the retriever's own search: Qdrant or the embeddings are down
            raise self._gone(tool, error.message) from error
        # Whatever came is now in the conversation, an error's words too.
        self.tainted = True
        run.size = len(result.text.encode())
        self._bytes += min(run.size, tool.policy.bytes)
        if run.size > tool.policy.bytes:
            detail = f"the result has more than {tool.policy.bytes} bytes: ask for less"
            raise _Stop(Outcome.REFUSED, detail)
        if self._bytes > self.budget.bytes:
            raise _Stop(Outcome.REFUSED, "the results have more bytes than one question may bring")
        text, found = await asyncio.to_thread(self._shown, result)
        if result.is_error:
            return run.step(Outcome.FAILED, text[:2000], started)
        return run.step(Outcome.DONE, "", started, text=text, found=found)

    def _shown(self, result: Result) -> tuple[str, list[Hit]]:
        """What of a result may be shown: its text, cleaned, and the chunks without a secret."""
        scanner = self._guards.scanner
        found = [hit for hit in result.found if not scanner.find(hit.shown)]
        return scanner.redact(clean(result.text)), found

    def _arguments(self, tool: AllowedTool | None, raw: str, run: "_Run") -> dict[str, Any]:
        """The arguments, checked for form, against the pinned schema, for secrets and repeats."""
        if tool is None:
            names = ", ".join(self._allowed) or "none"
            raise _Stop(Outcome.REFUSED, f"there is no such tool; the tools are: {names}")
        if len(raw) > self._guards.policy.argument_bytes or len(raw.encode("utf-8", "replace")) > (
            self._guards.policy.argument_bytes
        ):
            limit = self._guards.policy.argument_bytes
            raise _Stop(Outcome.REFUSED, f"the arguments have more than {limit} bytes")
        try:
            arguments = strict_object(raw or "{}")
        except ValueError as error:
            reason = str(error) if "Expecting" not in str(error) else "it is not JSON"
            raise _Stop(Outcome.REFUSED, f"the arguments cannot be read: {reason}") from error
        run.arguments_sha256 = digest(arguments)
        # In the words as written and as read: an escape must not hide one.
        spoken = "\n".join(_strings(arguments))
        if kind := self._guards.scanner.find(raw) or self._guards.scanner.find(spoken):
            raise _Stop(Outcome.REFUSED, f"the arguments hold a secret ({kind})")
        run.arguments = arguments
        if problem := tool.problem(arguments):
            raise _Stop(Outcome.REFUSED, problem)
        return arguments

    def _within_budgets(self, tool: AllowedTool, run: "_Run") -> None:
        if self._calls > self.budget.calls:
            raise _Stop(Outcome.REFUSED, f"only {self.budget.calls} calls for one question")
        if time.monotonic() >= self._deadline:
            raise _Stop(Outcome.REFUSED, f"only {self.budget.seconds:g} s for one question")
        if self._bytes >= self.budget.bytes:
            raise _Stop(Outcome.REFUSED, "the results have all the bytes one question may bring")
        if tool.policy.server not in self._servers or tool.policy.server in self.down:
            raise _Stop(Outcome.ERROR, f"the tool server {tool.policy.server} is not there")
        self._calls_of[tool.name] += 1
        if self._calls_of[tool.name] > tool.policy.calls:
            raise _Stop(Outcome.REFUSED, f"only {tool.policy.calls} calls of it for one question")
        call = f"{tool.name} {run.arguments_sha256}"
        if call in self._seen:
            raise _Stop(Outcome.REFUSED, "the very same call was made before: use its result")
        self._seen.add(call)

    async def _may_write(self, tool: AllowedTool, arguments: dict[str, Any], run: "_Run") -> None:
        """A tool that writes needs a conversation that nobody else wrote in, and an approval."""
        if tool.policy.risk is Risk.READ:
            return
        if self.tainted:
            detail = "only tools that read may run once documents or results have been read"
            raise _Stop(Outcome.REFUSED, detail)
        approvals = self._guards.approvals
        if await approvals.use(self._principal, tool.name, run.arguments_sha256):
            return
        waiting = await approvals.request(
            self._principal, tool.name, arguments, run.arguments_sha256
        )
        raise _Stop(
            Outcome.APPROVAL_REQUIRED,
            "a person must approve this very call first",
            PendingApproval(waiting.id, waiting.expires_at),
        )

    async def _check(self, name: str, server: ToolServer) -> None:
        """Compare the server's definitions with the pins, at the first contact of each question."""
        if name not in self._checked:
            await check_definitions(self._guards.policy, name, server, self._principal)
            self._checked.add(name)

    def _gone(self, tool: AllowedTool, why: str) -> _Stop:
        self.down.append(tool.policy.server)
        return _Stop(Outcome.ERROR, why)


class _Run:
    """One call on its way: what is known of it so far."""

    def __init__(
        self, principal: Principal, tool: AllowedTool | None, name: str, call_id: str
    ) -> None:
        self._principal = principal
        self._id = call_id
        # A name that is not in the policy is the model's, and so maybe an attacker's words.
        self._server = tool.policy.server if tool else ""
        self._tool = tool.policy.tool if tool else clean(name)[:64]
        self.arguments: dict[str, Any] | None = None
        self.arguments_sha256 = _UNREAD
        self.size = 0

    def step(self, outcome: Outcome, detail: str, started: float, **more: Any) -> Step:
        return Step(
            id=self._id,
            server=self._server,
            tool=self._tool,
            arguments=self.arguments,
            outcome=outcome,
            detail=detail,
            duration_ms=_milliseconds(started),
            **more,
        )

    def record(self, outcome: Outcome, started: float) -> ToolCallRecord:
        # A name that the model made up stays out of the record.
        return ToolCallRecord(
            principal=self._principal,
            server=self._server or "unknown",
            tool=self._tool if self._server else "unknown",
            arguments_sha256=self.arguments_sha256,
            outcome=outcome,
            bytes=self.size,
            seconds=time.perf_counter() - started,
        )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _strings(value: Any) -> list[str]:
    """Every string in `value`, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return []
