"""Approvals of write calls: for exactly these arguments, once, and not for long."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.auth import Principal
from bulkhead.errors import Conflict, NotFound
from retriever.database import Database
from retriever.state import locks
from retriever.state.schema import approvals, clock

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
    """The approvals, of all processes."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds

    async def request(
        self, principal: Principal, tool: str, arguments: dict[str, Any], arguments_sha256: str
    ) -> Approval:
        """The approval that waits for this very call; a new one if none does."""
        async with self._database.transaction() as connection:
            # One request of a tenant at a time, so that none is made twice.
            lock = locks.of_source(principal.tenant, "approvals")
            await connection.execute(select(func.pg_advisory_xact_lock(lock)))
            await connection.execute(
                delete(approvals).where(
                    approvals.c.tenant == principal.tenant, approvals.c.expires_at <= clock()
                )
            )
            known = (
                await connection.execute(
                    select(approvals)
                    .where(_is_for(principal, tool, arguments_sha256))
                    .where(approvals.c.state == State.PENDING)
                )
            ).first()
            if known is not None:
                return _approval(known)
            made = await connection.execute(
                insert(approvals)
                .values(
                    id=f"approval_{uuid.uuid4().hex}",
                    tenant=principal.tenant,
                    key_id=principal.key_id,
                    tool=tool,
                    arguments=arguments,
                    arguments_sha256=arguments_sha256,
                    state=State.PENDING,
                    expires_at=clock() + timedelta(seconds=self._seconds),
                )
                .returning(approvals)
            )
            approval = _approval(made.one())
            await _bound(connection, principal.tenant)
            return approval

    async def use(self, principal: Principal, tool: str, arguments_sha256: str) -> bool:
        """Whether this very call is approved for `principal`; it is then used up, everywhere."""
        ours = (
            select(approvals.c.id)
            .where(_is_for(principal, tool, arguments_sha256))
            .where(approvals.c.state == State.APPROVED, _IN_TIME)
            .order_by(approvals.c.position)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        used = await self._database.write(
            update(approvals)
            .where(approvals.c.id == ours, approvals.c.state == State.APPROVED)
            .values(state=State.USED)
            .returning(approvals.c.id)
        )
        return bool(used)

    async def get(self, principal: Principal, approval_id: str) -> Approval:
        """The approval. Raises `NotFound` when there is none for this tenant, or it expired."""
        row = await self._database.row(select(approvals).where(_named(principal, approval_id)))
        if row is None:
            raise NotFound("there is no approval with this id, or it has expired")
        return _approval(row)

    async def decide(self, principal: Principal, approval_id: str, approve: bool) -> Approval:
        """Approve or deny, once. Raises `NotFound` or `Conflict` when it was decided before."""
        decided = await self._database.write(
            update(approvals)
            .where(_named(principal, approval_id), approvals.c.state == State.PENDING)
            .values(state=State.APPROVED if approve else State.DENIED)
            .returning(approvals)
        )
        if decided:
            return _approval(decided[0])
        known = await self.get(principal, approval_id)
        raise Conflict(f"this approval is already {known.state}")


_IN_TIME = approvals.c.expires_at > clock()


def _named(principal: Principal, approval_id: str) -> ColumnElement[bool]:
    return and_(approvals.c.id == approval_id, approvals.c.tenant == principal.tenant, _IN_TIME)


def _is_for(principal: Principal, tool: str, arguments_sha256: str) -> ColumnElement[bool]:
    return and_(
        approvals.c.tenant == principal.tenant,
        approvals.c.key_id == principal.key_id,
        approvals.c.tool == tool,
        approvals.c.arguments_sha256 == arguments_sha256,
    )


async def _bound(connection: AsyncConnection, tenant: str) -> None:
    """Beyond what is kept of a tenant the oldest goes of the key that has the most."""
    kept = (
        await connection.execute(
            select(approvals.c.key_id, func.count().label("kept"))
            .where(approvals.c.tenant == tenant)
            .group_by(approvals.c.key_id)
            .order_by(func.count().desc(), func.min(approvals.c.position))
        )
    ).all()
    if sum(row.kept for row in kept) > MOST_OF_A_TENANT:
        theirs = approvals.c.tenant == tenant, approvals.c.key_id == kept[0].key_id
        oldest = select(func.min(approvals.c.position)).where(*theirs).scalar_subquery()
        await connection.execute(delete(approvals).where(approvals.c.position == oldest))


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        tenant=row.tenant,
        key_id=row.key_id,
        tool=row.tool,
        arguments=row.arguments,
        arguments_sha256=row.arguments_sha256,
        state=State(row.state),
        expires_at=row.expires_at.timestamp(),
    )
