"""The keys and whom they stand for: kept as digests in SQLite, looked up in memory.

The operator's key and the prober's are not among them. They are in files, so nobody can revoke
them through the API.
"""

import asyncio
import hmac
import json
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bulkhead.auth import KeyRing, Principal, Role, key_digest, new_key
from bulkhead.errors import Conflict, Forbidden, InvalidValue, NotFound, Unavailable
from retriever.limits import Limits

T = TypeVar("T")

DEFAULT_TENANT = "default"
OPERATOR = Principal("admin", DEFAULT_TENANT, frozenset(), Role.ADMIN)
"""Whom the key in the file stands for: admin of the default tenant, manager of every key."""
PROBER = Principal("prober", DEFAULT_TENANT, frozenset(), Role.READER)
"""Whom the quality service's key stands for, where there is one."""

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    groups TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    limits TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    rotated_at TEXT,
    revoked_at TEXT
);
CREATE INDEX keys_listed ON keys (tenant, created_at, id);
"""


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
    """Every key that is accepted. Changes are on the disk before they are told, and hold at once.

    One process has the file; a second one would not learn of a revocation. One thread makes every
    change whole, file and memory, before it begins the next: so none meets a key half changed.
    """

    def __init__(self, path: Path, operator_key: str, limits: Limits, prober_key: str = "") -> None:
        """Open or make the store; `limits` are the operator's, and so the defaults.

        Raises `ValueError` when the file is not a store of this release.
        """
        self._limits = limits
        self._operator_key = operator_key.encode()
        self._by_key = {OPERATOR.key_id: limits}
        fixed = {key_digest(operator_key): OPERATOR}
        if prober_key:
            fixed[key_digest(prober_key)] = PROBER
        self._ring = KeyRing(fixed)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")
        try:
            self._connection = _open(path)
            for row in self._connection.execute("SELECT * FROM keys WHERE revoked_at IS NULL"):
                self._accept(row["digest"], _key(row))
        except (sqlite3.Error, ValueError) as error:
            raise ValueError(f"{path.name} cannot be used: {error}") from error

    def principal(self, key: str) -> Principal:
        """Whom `key` stands for; raises `Unauthenticated` for a key that is not, or no more."""
        return self._ring.principal(key)

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
            raise Forbidden("the key manages its own tenant alone")
        limits = new.limits or own
        if by != OPERATOR and any(
            wanted > most
            for wanted, most in zip(
                limits.model_dump().values(), own.model_dump().values(), strict=True
            )
        ):
            raise Forbidden("limits: they may not be above those of the key that makes it")
        key, key_id, digest = _fresh()
        row = (
            key_id,
            digest,
            new.tenant,
            json.dumps(sorted(set(new.groups))),
            new.role,
            new.name,
            limits.model_dump_json(),
            by.key_id,
            _now(),
        )

        def insert() -> Key:
            made = self._one(
                "INSERT INTO keys (id, digest, tenant, groups, role, name, limits, created_by,"
                " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                *row,
            )
            return self._accept(digest, _key(made))

        return await self._run(insert), key

    async def page(
        self, by: Principal, limit: int, cursor: str | None
    ) -> tuple[list[Key], str | None]:
        """Up to `limit` keys that `by` manages, oldest first, and the next cursor, if any."""
        condition, parameters = _managed(by)
        if cursor:
            created_at, _, key_id = cursor.rpartition("~")
            if not created_at:
                raise InvalidValue("cursor: use next_cursor of the page before, unchanged")
            condition += " AND (created_at, id) > (?, ?)"
            parameters += [created_at, key_id]
        sql = (
            f"SELECT * FROM keys WHERE {condition}"  # noqa: S608  # conditions of this module
            f" ORDER BY created_at, id LIMIT {limit + 1:d}"
        )
        rows = await self._run(lambda: self._connection.execute(sql, parameters).fetchall())
        keys = [_key(row) for row in rows[:limit]]
        more = len(rows) > limit
        return keys, f"{keys[-1].created_at}~{keys[-1].id}" if more else None

    async def revoke(self, by: Principal, key_id: str) -> None:
        """End a key, at once; once more changes nothing. Raises `NotFound`.

        Its limits stay: they hold for what is under way in its name.
        """

        def end() -> None:
            digest = self._managed(by, key_id)["digest"]
            self._ring.remove(digest)  # first: what the disk cannot note must not go on working
            self._one(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING id",
                _now(),
                key_id,
            )

        await self._run(end)

    async def rotate(self, by: Principal, key_id: str) -> tuple[Key, str]:
        """Give the same id and principal a new key; the old one ends at once.

        Raises `NotFound`, and `Conflict` for a key that was revoked.
        """
        key, _, digest = _fresh()

        def turn() -> Key:
            old = self._managed(by, key_id)
            if old["revoked_at"]:
                raise Conflict("the key was revoked: make a new one")
            rotated = self._one(
                "UPDATE keys SET digest = ?, rotated_at = ? WHERE id = ? RETURNING *",
                digest,
                _now(),
                key_id,
            )
            self._ring.remove(old["digest"])
            return self._accept(digest, _key(rotated))

        return await self._run(turn), key

    def close(self) -> None:
        """Close the file."""
        self._thread.shutdown()
        self._connection.close()

    async def _run(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread. Raises `Unavailable` when the file cannot be used."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.OperationalError as error:
            raise Unavailable("storage", f"the key store cannot write ({error})") from error

    # What follows runs in the thread, but for `_accept` at the start.

    def _one(self, sql: str, *parameters: str | None) -> sqlite3.Row:
        row: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
        if row is None:
            raise NotFound("there is no such key")
        return row

    def _managed(self, by: Principal, key_id: str) -> sqlite3.Row:
        condition, parameters = _managed(by)
        sql = f"SELECT * FROM keys WHERE {condition} AND id = ?"  # noqa: S608  # see `page`
        return self._one(sql, *parameters, key_id)

    def _accept(self, digest: str, key: Key) -> Key:
        self._by_key[key.id] = key.limits
        self._ring.add(digest, Principal(key.id, key.tenant, frozenset(key.groups), key.role))
        return key


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    path.chmod(0o600)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a revocation outlives a power cut
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
        )
    elif version != _SCHEMA_VERSION:
        raise ValueError(f"it has schema version {version}; this release reads {_SCHEMA_VERSION}")
    return connection


def _managed(by: Principal) -> tuple[str, list[str]]:
    """The SQL condition for the keys that an admin manages, and its parameters."""
    return ("true", []) if by == OPERATOR else ("tenant = ?", [by.tenant])


def _fresh() -> tuple[str, str, str]:
    """A new key, an id for it, and its digest."""
    key = new_key()
    return key, f"key_{uuid.uuid4().hex}", key_digest(key)


def _key(row: sqlite3.Row) -> Key:
    return Key(
        id=row["id"],
        tenant=row["tenant"],
        groups=tuple(json.loads(row["groups"])),
        role=Role(row["role"]),
        name=row["name"],
        limits=Limits.model_validate_json(row["limits"]),
        created_at=row["created_at"],
        rotated_at=row["rotated_at"],
        revoked_at=row["revoked_at"],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
