"""Approvals of write calls: for exactly these arguments, once, and not for long.

They are kept in memory: after a restart nothing is approved.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bulkhead.auth import Principal
from bulkhead.errors import Conflict, NotFound

MOST_OF_A_TENANT = 200
"""Approvals that are kept of a tenant. Beyond it the oldest goes of the key that has the most, and
its call must be asked for again: no other tenant's goes, and no other key's that asked for less."""


class State(StrEnum):
    """What became of a request for approval."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Approval:
    """One call that waits for a person, or was decided by one."""

    id: str
    tenant: str
    key_id: str
    """Who asked, and the only one who can use it."""
    tool: str
    arguments: dict[str, Any]
    arguments_sha256: str
    state: State
    expires_at: float
    """Unix time, in seconds."""


class Approvals:
    """The approvals of this process."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._seconds = seconds
        self._clock = clock
        self._approvals: dict[str, Approval] = {}

    def request(
        self, principal: Principal, tool: str, arguments: dict[str, Any], arguments_sha256: str
    ) -> Approval:
        """The approval that waits for this very call; a new one if none does."""
        self._forget_old()
        for known in self._approvals.values():
            if known.state is State.PENDING and _is_for(known, principal, tool, arguments_sha256):
                return known
        approval = Approval(
            id=f"approval_{uuid.uuid4().hex}",
            tenant=principal.tenant,
            key_id=principal.key_id,
            tool=tool,
            arguments=arguments,
            arguments_sha256=arguments_sha256,
            state=State.PENDING,
            expires_at=self._clock() + self._seconds,
        )
        self._approvals[approval.id] = approval
        self._bound(principal.tenant)
        return approval

    def use(self, principal: Principal, tool: str, arguments_sha256: str) -> bool:
        """Whether this very call is approved for `principal`; it is then used up."""
        self._forget_old()
        for known in self._approvals.values():
            if known.state is State.APPROVED and _is_for(known, principal, tool, arguments_sha256):
                self._approvals[known.id] = replace(known, state=State.USED)
                return True
        return False

    def get(self, principal: Principal, approval_id: str) -> Approval:
        """The approval. Raises `NotFound` when there is none for this tenant, or it expired."""
        self._forget_old()
        known = self._approvals.get(approval_id)
        if known is None or known.tenant != principal.tenant:
            raise NotFound("there is no approval with this id, or it has expired")
        return known

    def decide(self, principal: Principal, approval_id: str, approve: bool) -> Approval:
        """Approve or deny, once. Raises `NotFound` or `Conflict` when it was decided before."""
        known = self.get(principal, approval_id)
        if known.state is not State.PENDING:
            raise Conflict(f"this approval is already {known.state}")
        decided = replace(known, state=State.APPROVED if approve else State.DENIED)
        self._approvals[approval_id] = decided
        return decided

    def _bound(self, tenant: str) -> None:
        kept = [known for known in self._approvals.values() if known.tenant == tenant]
        if len(kept) > MOST_OF_A_TENANT:
            ((busiest, _),) = Counter(known.key_id for known in kept).most_common(1)
            del self._approvals[next(known.id for known in kept if known.key_id == busiest)]

    def _forget_old(self) -> None:
        now = self._clock()
        expired = [known.id for known in self._approvals.values() if known.expires_at <= now]
        for approval_id in expired:
            del self._approvals[approval_id]


def _is_for(known: Approval, principal: Principal, tool: str, arguments_sha256: str) -> bool:
    return (known.tenant, known.key_id, known.tool, known.arguments_sha256) == (
        principal.tenant,
        principal.key_id,
        tool,
        arguments_sha256,
    )
