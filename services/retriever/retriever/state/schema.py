"""The tables. Times are the database's: `clock_timestamp()`, never a process' own clock.

JSON is kept as text is, in `json`: `jsonb` refuses what clients may send, and changes numbers.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.sql.elements import ColumnElement

HEAD = "0003"
"""The migration that these tables are of."""

metadata = MetaData()


class Utf8(TypeDecorator[str]):
    """A text of any characters, as its bytes: PostgreSQL's own `text` keeps no NUL."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Raises `UnicodeEncodeError` for half of a surrogate pair."""
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        """What was kept."""
        return None if value is None else bytes(value).decode()


def _at(name: str, *, known: bool = True) -> "Column[object]":
    """A moment; `known`: set when the row is made."""
    if known:
        return Column(
            name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()
        )
    return Column(name, DateTime(timezone=True))


def _json(name: str, empty: str) -> "Column[object]":
    return Column(name, JSON, nullable=False, server_default=text(f"'{empty}'"))


def _texts(name: str) -> "Column[list[str]]":
    return Column(name, ARRAY(Text), nullable=False, server_default=text("'{}'"))


collection = Table(
    "collection",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)
CURRENT, NEXT = 1, 2
"""The Qdrant collection that the documents' chunks are in, and one that is being filled to take its
place, if any."""

imports = Table("imports", metadata, Column("id", Text, primary_key=True), _at("made_at"))
"""The folders of the release with SQLite that were taken over, by a digest of their stores."""

documents = Table(
    "documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("writer", Text, nullable=False, server_default=""),
    Column("title", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    _texts("groups"),
    _json("metadata", "{}"),
    Column("pages", ARRAY(Integer), nullable=False, server_default=text("'{}'")),
    Column("chunks", Integer, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("text", Utf8, nullable=False),
    _at("created_at"),
    Column("digest", Text, nullable=False, server_default=""),
    Column("parser", Text),
    _json("file_metadata", "{}"),
    _json("warnings", "[]"),
    CheckConstraint("state IN ('pending', 'live', 'deleting')", name="documents_state"),
)
"""`writer` tells apart who wrote a `pending` row: only that one may make it live."""
# By its hash, for a source may be longer than what an ordered index takes.
Index("documents_by_source", documents.c.source, postgresql_using="hash")
Index(
    "documents_listed",
    documents.c.tenant,
    documents.c.created_at,
    documents.c.id,
    postgresql_where=documents.c.state == text("'live'"),
)
Index("documents_unfinished", documents.c.id, postgresql_where=documents.c.state != text("'live'"))

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    _texts("key_groups"),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    _at("created_at"),
    _at("started_at", known=False),
    _at("updated_at"),
)
Index(
    "one_job_an_idempotency_key",
    jobs.c.tenant,
    jobs.c.key_id,
    jobs.c.idempotency_key,
    unique=True,
)
Index("jobs_listed", jobs.c.tenant, jobs.c.created_at, jobs.c.id)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("title", Text),
    Column("media_type", Text),
    _texts("groups"),
    _json("metadata", "{}"),
    Column("upload", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("worker", Text),
    _at("leased_until", known=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("outcome", Text),
    Column("document_id", Text),
    Column("chunks", Integer, nullable=False, server_default=text("0")),
    Column("message", Text),
    _at("finished_at", known=False),
    _json("warnings", "[]"),
    _json("replaced", "[]"),
    Column("warned", Integer, nullable=False, server_default=text("0")),
)
"""The documents of jobs, in the order of `position`. `worker` has one until `leased_until`, and
`attempts` counts how often one was taken; with its `outcome` it is done."""
_waiting = job_items.c.outcome.is_(None)
Index("job_items_waiting", job_items.c.tenant, job_items.c.position, postgresql_where=_waiting)
Index(
    "job_items_of_a_source",
    job_items.c.source,
    postgresql_using="hash",
    postgresql_where=_waiting,
)
Index(
    "job_items_with_an_upload",
    job_items.c.upload,
    postgresql_using="hash",
    postgresql_where=_waiting,
)
Index("job_items_leased", job_items.c.worker, postgresql_where=_waiting)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    _at("seen_at"),
    Column("waiting", Text),
)
"""The processes that take documents in, and what each waits for, if it does."""

runs = Table(
    "runs",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("expected", Integer),
    _at("seen_at"),
    Column("waiting", Text),
)
"""The jobs that bulk runs fill: how many documents each expects, if it knows; when it was last
heard of; what it waits for, if it does. A document has a row there once it has an outcome, with
`OF_A_RUN` for a worker and for an upload its place in the source."""
OF_A_RUN = "bulk"
Index(
    "job_items_of_a_run",
    job_items.c.source,
    postgresql_using="hash",
    postgresql_where=job_items.c.worker == text(f"'{OF_A_RUN}'"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    _at("created_at"),
)
upload_blocks = Table(
    "upload_blocks",
    metadata,
    Column("upload", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(["upload"], ["uploads.id"], ondelete="CASCADE"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    _at("created_at"),
)
feedback = Table(
    "feedback",
    metadata,
    Column("answer_id", Text, ForeignKey("answers.id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("vote", Text, nullable=False),
    Column("comment", Text, nullable=False),
    _at("created_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    _texts("groups"),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    _json("limits", "{}"),
    Column("created_by", Text, nullable=False),
    _at("created_at"),
    _at("rotated_at", known=False),
    _at("revoked_at", known=False),
    Column("revision", BigInteger, nullable=False),
)
"""`revision` is the number of the last change among all keys': whoever knows one asks for later."""
Index("keys_listed", keys.c.tenant, keys.c.created_at, keys.c.id)
Index("keys_changed", keys.c.revision)
key_changes = Table(
    "key_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""One row: the number of the last change. Who changes keys holds it to the end, so that numbers
show in their order."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("tool", Text, nullable=False),
    _json("arguments", "{}"),
    Column("arguments_sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("approvals_of_a_tenant", approvals.c.tenant, approvals.c.key_id, approvals.c.position)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ends_at", DateTime(timezone=True), nullable=False),
)
"""While one has not ended, no points of documents go: see `state.holds`."""


def clock() -> ColumnElement[object]:
    """The time, by the database."""
    return func.clock_timestamp()
