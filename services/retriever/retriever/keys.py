"""The keys and whom they stand for: kept as digests in the database, looked up in memory.

The operator's key and the prober's are not among them. They are in files, so nobody can revoke
them through the API.
"""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.auth import KeyRing, Principal, Role, key_digest, new_key
from bulkhead.errors import Conflict, Forbidden, NotFound, Unauthenticated, Unavailable
from retriever.database import PART, Database
from retriever.limits import Limits
from retriever.state import schema
from retriever.state.schema import clock
from retriever.state.values import beyond, cursor_of, moment

logger = logging.getLogger(__name__)

DEFAULT_TENANT = "default"
OPERATOR = Principal("admin", DEFAULT_TENANT, frozenset(), Role.ADMIN)
"""Whom the key in the file stands for: admin of the default tenant, manager of every key."""
PROBER = Principal("prober", DEFAULT_TENANT, frozenset(), Role.READER)
"""Whom the quality service's key stands for, where there is one."""

CHANNEL = "bulkhead_keys"
"""Where a change of a key is told of."""
TRUSTED_SECONDS = 60.0
"""How long keys are accepted, as they were known last, while the database is not reached."""
_POLL_SECONDS = 0.5
"""How often changes are looked for where no news of them comes: a revocation holds everywhere
within a second."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make. `limits` left out: those of the key that makes it."""

    tenant: str
    groups: tuple[str, ...]
    role: Role
    name: str = ""
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its admins see it; the key itself, and its digest, are not part of it."""

    id: str
    tenant: str
    groups: tuple[str, ...]
    role: Role
    name: str
    limits: Limits
    created_at: str
    rotated_at: str | None
    revoked_at: str | None


class Keys:
    """Every key that is accepted, in this process. Changes are committed before they are told.

    The others learn of them at once, by news, or with their next look.
    """

    def __init__(
        self, database: Database, operator_key: str, limits: Limits, prober_key: str = ""
    ) -> None:
        """`limits` are the operator's, and so the defaults. `refresh` brings the keys in."""
        self._database = database
        self._limits = limits
        self._operator_key = operator_key.encode()
        self._by_key = {OPERATOR.key_id: limits}
        fixed = {key_digest(operator_key): OPERATOR}
        if prober_key:
            fixed[key_digest(prober_key)] = PROBER
        self._fixed = KeyRing(fixed)
        self._ring = KeyRing()
        self._digests: dict[str, str] = {}
        """By a key's id, its digest in the ring."""
        self._revision = -1
        self._known_at: float | None = None
        self._looking = asyncio.Lock()
        self._news = asyncio.Event()

    def principal(self, key: str) -> Principal:
        """Whom `key` stands for; raises `Unauthenticated` for a key that is not, or no more.

        Raises `Unavailable` for all but the keys in files once the others have not been looked at
        for `TRUSTED_SECONDS`: one of them may have been revoked meanwhile.
        """
        with suppress(Unauthenticated):
            return self._fixed.principal(key)
        if self._known_at is None or time.monotonic() - self._known_at > TRUSTED_SECONDS:
            raise Unavailable(PART, "the document store, which has the keys, does not answer")
        return self._ring.principal(key)

    async def admit(self, key: str) -> Principal:
        """The same; a key that is not known is looked for, for another process may have made it."""
        try:
            return self.principal(key)
        except Unauthenticated:
            await self._look(time.monotonic())
            return self.principal(key)

    def limits(self, principal: Principal) -> Limits:
        """What the principal's key may use in a minute."""
        return self._by_key.get(principal.key_id, self._limits)

    def cache_salt(self, tenant: str) -> str:
        """What keeps the tenant's prompts apart in the model server's cache.

        Only who has the operator's key can know it; any retriever with the same key has the same.
        """
        message = f"cache salt of {tenant}".encode()
        return hmac.new(self._operator_key, message, "sha256").hexdigest()

    async def create(self, by: Principal, new: NewKey) -> tuple[Key, str]:
        """Make a key, in the name of an admin; and the key itself, which is not kept.

        Raises `Forbidden` for another tenant, and for limits above the admin's own, unless `by` is
        the operator.
        """
        own = self.limits(by)
        if by != OPERATOR and new.tenant != by.tenant:
            raise Forbidden("you manage the keys of your own tenant alone")
        limits = new.limits or own
        if by != OPERATOR and any(
            wanted > most
            for wanted, most in zip(
                limits.model_dump().values(), own.model_dump().values(), strict=True
            )
        ):
            raise Forbidden("limits: they may not be above your own")
        key, key_id, digest = _fresh()
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(schema.keys).values(
                    id=key_id,
                    digest=digest,
                    tenant=new.tenant,
                    groups=sorted(set(new.groups)),
                    role=new.role,
                    name=new.name,
                    limits=limits.model_dump(),
                    created_by=by.key_id,
                    revision=await changed(connection),
                )
            )
        await self.refresh()
        return await self._one(by, key_id), key

    async def page(
        self, by: Principal, limit: int, cursor: str | None
    ) -> tuple[list[Key], str | None]:
        """Up to `limit` keys that `by` manages, oldest first, and the next cursor, if any."""
        statement = select(schema.keys).where(_managed(by))
        if cursor:
            statement = statement.where(beyond(schema.keys, cursor))
        rows = await self._database.rows(
            statement.order_by(schema.keys.c.created_at, schema.keys.c.id).limit(limit + 1)
        )
        keys = [_key(row) for row in rows[:limit]]
        more = len(rows) > limit
        return keys, cursor_of(keys[-1].created_at, keys[-1].id) if more else None

    async def revoke(self, by: Principal, key_id: str) -> None:
        """End a key, here at once and elsewhere within a second; once more changes nothing.

        Raises `NotFound`. Its limits stay: they hold for what is under way in its name.
        """
        async with self._database.transaction() as connection:
            revision = await changed(connection)
            ended = await connection.execute(
                update(schema.keys)
                .where(_managed(by), schema.keys.c.id == key_id)
                .values(
                    revoked_at=func.coalesce(schema.keys.c.revoked_at, clock()), revision=revision
                )
            )
            if not ended.rowcount:
                raise NotFound("there is no such key")
        await self.refresh()

    async def rotate(self, by: Principal, key_id: str) -> tuple[Key, str]:
        """Give the same id and principal a new key; the old one ends.

        Raises `NotFound`, and `Conflict` for a key that was revoked.
        """
        key, _, digest = _fresh()
        async with self._database.transaction() as connection:
            revision = await changed(connection)
            turned = await connection.scalar(
                update(schema.keys)
                .where(_managed(by), schema.keys.c.id == key_id)
                .where(schema.keys.c.revoked_at.is_(None))
                .values(digest=digest, rotated_at=clock(), revision=revision)
                .returning(schema.keys.c.id)
            )
            if turned is None:
                known = await connection.scalar(
                    select(schema.keys.c.id).where(_managed(by), schema.keys.c.id == key_id)
                )
                if known is None:
                    raise NotFound("there is no such key")
                raise Conflict("the key was revoked: make a new one")
        await self.refresh()
        return await self._one(by, key_id), key

    async def refresh(self) -> None:
        """Learn what changed since the last look. Raises `Unavailable`."""
        await self._look(time.monotonic())

    async def watch(self) -> None:
        """Go on learning of changes, by `wake` or by looking, until cancelled."""
        while True:
            try:
                await self.refresh()
            except Unavailable as error:
                logger.warning("keys cannot be looked at", extra={"reason": error.message})
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._news.wait()
            self._news.clear()

    def wake(self) -> None:
        """There is news of a change."""
        self._news.set()

    async def _look(self, at: float) -> None:
        """See that a look was begun after `at`: who waits for one meanwhile shares it."""
        async with self._looking:
            if self._known_at is not None and self._known_at > at:
                return
            begun = time.monotonic()
            changed = await self._database.rows(
                select(schema.keys)
                .where(schema.keys.c.revision > self._revision)
                .order_by(schema.keys.c.revision)
            )
            self._learn(changed)
            self._known_at = begun

    def _learn(self, changed: Sequence[Row[Any]]) -> None:
        for row in changed:
            if before := self._digests.pop(row.id, None):
                self._ring.remove(before)
            key = _key(row)
            self._by_key[key.id] = key.limits
            if row.revoked_at is None:
                self._digests[key.id] = row.digest
                principal = Principal(key.id, key.tenant, frozenset(key.groups), key.role)
                self._ring.add(row.digest, principal)
            self._revision = row.revision

    async def _one(self, by: Principal, key_id: str) -> Key:
        row = await self._database.row(
            select(schema.keys).where(_managed(by), schema.keys.c.id == key_id)
        )
        assert row is not None
        return _key(row)


async def changed(connection: AsyncConnection) -> int:
    """The number of a change, this transaction's. Others wait for it, so they have an order."""
    table = schema.key_changes
    number = await connection.scalar(
        update(table).values(revision=table.c.revision + 1).returning(table.c.revision)
    )
    assert isinstance(number, int)
    await connection.execute(select(func.pg_notify(CHANNEL, "")))
    return number


def _managed(by: Principal) -> ColumnElement[bool]:
    """The condition for the keys that an admin manages."""
    return true() if by == OPERATOR else schema.keys.c.tenant == by.tenant


def _fresh() -> tuple[str, str, str]:
    """A new key, an id for it, and its digest."""
    key = new_key()
    return key, f"key_{uuid.uuid4().hex}", key_digest(key)


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        tenant=row.tenant,
        groups=tuple(row.groups),
        role=Role(row.role),
        name=row.name,
        limits=Limits.model_validate(row.limits),
        created_at=moment(row.created_at),
        rotated_at=row.rotated_at and moment(row.rotated_at),
        revoked_at=row.revoked_at and moment(row.revoked_at),
    )
