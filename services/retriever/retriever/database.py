"""PostgreSQL for what must survive and what processes share.

Nothing of a session is used, no `SET`, no prepared statement, no lock beyond a transaction, so that
a pooler in transaction mode may stand between. Only who listens has a connection of its own.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import (
    URL,
    AdaptedConnection,
    BigInteger,
    Executable,
    Row,
    event,
    func,
    literal,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bulkhead.errors import InvalidValue, Unavailable
from bulkhead.settings import read_secret
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import INDEX_REFUSES
from retriever.index.reaching import disk_fault
from retriever.state.migrate import migrate
from retriever.state.schema import CURRENT, collection, key_changes

_POSTGRESQL = {names.DB_SYSTEM: "postgresql"}
PART = "database"
_CONNECTIONS = 8
"""Of each kind that a process keeps open: that read, that write, that hold locks."""
_MORE = 16
"""Beyond them, for as long as they are needed."""
_WAIT_SECONDS = 10.0
_PARAMETERS: dict[str, str | int] = {
    "connect_timeout": 5,
    # A server that is gone without a word is found, and given up, in seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Of libpq; what the URL says goes before."""
_STATES = {
    "53100": "the document store's disk is full",
    "25006": "the document store takes no writes",
    "28P01": "the document store refuses the retriever's password",
    "28000": "the document store refuses the retriever",
    "3D000": "the document store has no such database",
}
"""What is told of a fault, by its SQLSTATE; its own words may hold addresses."""
_TLS = re.compile("certificate|does not support SSL")
"""In libpq's words, of which there is no SQLSTATE."""


def database_url(url: str, password_file: Path | None) -> URL:
    """The database's address, with the password from its file.

    Raises `ValueError` for what is no address of PostgreSQL, or holds a password itself.
    """
    try:
        made = make_url(url)
    except Exception as error:
        raise ValueError("RETRIEVER_DATABASE_URL: postgresql://USER@HOST:PORT/NAME") from error
    if made.drivername not in ("postgresql", "postgres"):
        raise ValueError("RETRIEVER_DATABASE_URL: it begins with postgresql://")
    if made.password is not None:
        raise ValueError("RETRIEVER_DATABASE_URL: the password goes into a file of its own")
    password = read_secret(password_file) if password_file else None
    return made.set(drivername="postgresql+psycopg", password=password)


class Database:
    """Connections to PostgreSQL, and whether it takes writes."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._reads = _engine(url, isolation_level="AUTOCOMMIT")
        self._writes = _engine(url, pool_pre_ping=True)
        # Apart from the rest: who holds a lock writes meanwhile, and must not wait for itself.
        self._locks = _engine(url, pool_pre_ping=True)
        self.refusal: str | None = None
        """Why the last transaction could not be written, until one can again."""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: URL) -> AsyncIterator["Database"]:
        """The database at `url`, its schema this release's. Raises `Unavailable`, `ValueError`."""
        database = cls(url)
        try:
            await database.migrate()
            yield database
        finally:
            await database.close()

    async def migrate(self) -> bool:
        """Bring the schema up, if it is not; whether it was not.

        Raises `Unavailable`, and `ValueError` where a later release made it.
        """
        with self._told():
            return await migrate(self._writes)

    async def close(self) -> None:
        """Close all connections."""
        for engine in (self._reads, self._writes, self._locks):
            await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on any exception."""
        try:
            with self._told():
                async with self._writes.begin() as connection:
                    yield connection
        except Unavailable as error:
            self._taken(error.message)
            raise
        self._taken(None)

    @asynccontextmanager
    async def locked(
        self, numbers: Iterable[int] = (), shared: Iterable[int] = (), seconds: int = 60
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds these locks, alone or `shared`, from its beginning to its end.

        Taken in the order of their numbers, so that no two wait for each other. Raises
        `Unavailable` where one is not to be had for `seconds`; and the server ends whoever holds
        some and says nothing for ten times as long.
        """
        with self._told():
            async with self._locks.begin() as connection:
                await connection.execute(
                    select(
                        func.set_config("lock_timeout", f"{seconds:d}s", True),
                        func.set_config(
                            "idle_in_transaction_session_timeout", f"{10 * seconds:d}s", True
                        ),
                    )
                )
                for lock, wanted in (
                    (func.pg_advisory_xact_lock, numbers),
                    (func.pg_advisory_xact_lock_shared, shared),
                ):
                    if ordered := sorted(set(wanted)):
                        # By the rows of a list, which are gone through in its order.
                        number = func.unnest(literal(ordered, ARRAY(BigInteger))).column_valued()
                        await connection.execute(select(lock(number)))
                yield connection

    @asynccontextmanager
    async def if_free(self, number: int) -> AsyncIterator[AsyncConnection | None]:
        """A transaction that holds this lock, or none where another holds it."""
        with self._told():
            async with self._locks.begin() as connection:
                free = await connection.scalar(select(func.pg_try_advisory_xact_lock(number)))
                yield connection if free else None

    async def check(self) -> None:
        """Raise `Unavailable` while nothing can be read, or the schema is not there yet."""
        await self.rows(select(key_changes.c.revision))

    async def claim(self, name: str) -> str:
        """Note the collection that the documents' chunks are in, and give it.

        It is `name`, or what `scripts/reindex.py` put in its place, with a number. Raises
        `ValueError` where it is another one: one would say what the other lacks.
        """
        await self.write(insert(collection).values(id=CURRENT, name=name).on_conflict_do_nothing())
        kept = await self.row(select(collection.c.name).where(collection.c.id == CURRENT))
        assert kept is not None
        if not re.fullmatch(rf"{re.escape(name)}(-r\d+)?", kept.name):
            raise ValueError(
                f"the database's documents are in the collection {kept.name!r}: set"
                " RETRIEVER_COLLECTION to that name, or RETRIEVER_DATABASE_URL to another database"
            )
        return str(kept.name)

    async def probe(self) -> None:
        """Write what changes nothing; raises `Unavailable` where that cannot be done."""
        async with self.transaction() as connection:
            await connection.execute(update(key_changes).values(revision=key_changes.c.revision))

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows of a query, as committed. Asked once more where a kept connection was dead."""
        for last in (False, True):
            try:
                with self._told():
                    async with self._reads.connect() as connection:
                        return (await connection.execute(statement)).all()
            except Unavailable as error:
                cause = error.__cause__
                if last or not (isinstance(cause, DBAPIError) and cause.connection_invalidated):
                    raise
        raise AssertionError

    async def row(self, statement: Executable) -> Row[Any] | None:
        """The first row of a query, or none."""
        rows = await self.rows(statement)
        return rows[0] if rows else None

    async def each(self, statement: Executable) -> AsyncIterator[Row[Any]]:
        """The rows of a query, of one moment, one by one: for those that are large together."""
        with self._told():
            async with self._writes.connect() as connection:
                one = {"yield_per": 1}
                async with connection.stream(statement, execution_options=one) as rows:
                    async for row in rows:
                        yield row

    async def write(self, statement: Executable) -> Sequence[Row[Any]]:
        """One statement as a transaction of its own, and the rows that it returns."""
        async with self.transaction() as connection:
            result = await connection.execute(statement)
            return result.all() if result.returns_rows else ()

    async def listener(self) -> psycopg.AsyncConnection[Any]:
        """A connection of its own, for who listens. Raises `Unavailable`."""
        with self._told():
            dialect = self._reads.dialect
            words, named = dialect.create_connect_args(self._url)
            return await psycopg.AsyncConnection.connect(
                *words, **{**_PARAMETERS, **named}, autocommit=True
            )

    def _taken(self, refusal: str | None) -> None:
        """Note whether the last transaction was."""
        self.refusal = refusal
        INDEX_REFUSES.set(int(refusal is not None), _POSTGRESQL)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the driver raises becomes `Unavailable`, or `InvalidValue`, in words."""
        try:
            yield
        except IntegrityError:
            raise
        except UnicodeEncodeError as error:
            raise InvalidValue("a text holds half of a surrogate pair") from error
        except DataError as error:
            raise InvalidValue("a text holds a character that cannot be kept (NUL)") from error
        except (DBAPIError, PoolTimeout, psycopg.OperationalError) as error:
            raise Unavailable(PART, words(error)) from error


def words(error: BaseException) -> str:
    """What is told of a fault of the database: no address, and nothing of a statement."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None)
    if told := _STATES.get(state or ""):
        return told
    if told := disk_fault(str(cause), "the document store's disk"):
        return told
    if state is None and _TLS.search(str(cause)):
        return "the document store's TLS is not as it has to be"
    return "the document store does not answer" + (f" ({state})" if state else "")


def _engine(url: URL, **options: Any) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=_CONNECTIONS,
        max_overflow=_MORE,
        pool_timeout=_WAIT_SECONDS,
        pool_use_lifo=True,  # what is not needed gets old, and goes
        hide_parameters=True,
        connect_args={
            **{name: value for name, value in _PARAMETERS.items() if name not in url.query},
            "prepare_threshold": None,
        },
        **options,
    )
    event.listen(engine.sync_engine, "connect", _deaf)
    return engine


def _deaf(connection: AdaptedConnection, _: object) -> None:
    """Drop news: a pooler hands on sessions that somebody listened on, and psycopg would keep all
    that comes until it is asked for."""
    connection.driver_connection.add_notify_handler(lambda _: None)
