"""The tables of the first release with PostgreSQL."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "answers",
        Column("id", Text(), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("key_id", Text(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "approvals",
        Column("id", Text(), nullable=False),
        Column("position", BigInteger(), Identity(always=True), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("key_id", Text(), nullable=False),
        Column("tool", Text(), nullable=False),
        Column("arguments", JSON(), server_default=text("'{}'"), nullable=False),
        Column("arguments_sha256", Text(), nullable=False),
        Column("state", Text(), nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "approvals_of_a_tenant", "approvals", ["tenant", "key_id", "position"], unique=False
    )
    op.create_table(
        "collection",
        Column("id", Integer(), nullable=False),
        Column("name", Text(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "imports",
        Column("id", Text(), nullable=False),
        Column(
            "made_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "documents",
        Column("id", Text(), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("source", Text(), nullable=False),
        Column("state", Text(), nullable=False),
        Column("writer", Text(), server_default="", nullable=False),
        Column("title", Text(), nullable=False),
        Column("media_type", Text(), nullable=False),
        Column("groups", ARRAY(Text()), server_default=text("'{}'"), nullable=False),
        Column("metadata", JSON(), server_default=text("'{}'"), nullable=False),
        Column("pages", ARRAY(Integer()), server_default=text("'{}'"), nullable=False),
        Column("chunks", Integer(), nullable=False),
        Column("characters", Integer(), nullable=False),
        Column("text", LargeBinary(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        Column("digest", Text(), server_default="", nullable=False),
        Column("parser", Text(), nullable=True),
        Column("file_metadata", JSON(), server_default=text("'{}'"), nullable=False),
        Column("warnings", JSON(), server_default=text("'[]'"), nullable=False),
        CheckConstraint("state IN ('pending', 'live', 'deleting')", name="documents_state"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "documents_by_source", "documents", ["source"], unique=False, postgresql_using="hash"
    )
    op.create_index(
        "documents_listed",
        "documents",
        ["tenant", "created_at", "id"],
        unique=False,
        postgresql_where=text("state = 'live'"),
    )
    op.create_index(
        "documents_unfinished",
        "documents",
        ["id"],
        unique=False,
        postgresql_where=text("state != 'live'"),
    )
    op.create_table(
        "jobs",
        Column("id", Text(), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("key_id", Text(), nullable=False),
        Column("role", Text(), nullable=False),
        Column("key_groups", ARRAY(Text()), server_default=text("'{}'"), nullable=False),
        Column("state", Text(), server_default="queued", nullable=False),
        Column("revision", Integer(), server_default=text("1"), nullable=False),
        Column("idempotency_key", Text(), nullable=True),
        Column("fingerprint", Text(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        Column("started_at", DateTime(timezone=True), nullable=True),
        Column(
            "updated_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("jobs_listed", "jobs", ["tenant", "created_at", "id"], unique=False)
    op.create_index(
        "one_job_an_idempotency_key", "jobs", ["tenant", "key_id", "idempotency_key"], unique=True
    )
    op.create_table(
        "key_changes",
        Column("id", Integer(), nullable=False),
        Column("revision", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "keys",
        Column("id", Text(), nullable=False),
        Column("digest", Text(), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("groups", ARRAY(Text()), server_default=text("'{}'"), nullable=False),
        Column("role", Text(), nullable=False),
        Column("name", Text(), nullable=False),
        Column("limits", JSON(), server_default=text("'{}'"), nullable=False),
        Column("created_by", Text(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        Column("rotated_at", DateTime(timezone=True), nullable=True),
        Column("revoked_at", DateTime(timezone=True), nullable=True),
        Column("revision", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("digest"),
    )
    op.create_index("keys_changed", "keys", ["revision"], unique=False)
    op.create_index("keys_listed", "keys", ["tenant", "created_at", "id"], unique=False)
    op.create_table(
        "uploads",
        Column("id", Text(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "workers",
        Column("id", Text(), nullable=False),
        Column(
            "seen_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        Column("waiting", Text(), nullable=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "feedback",
        Column("answer_id", Text(), nullable=False),
        Column("key_id", Text(), nullable=False),
        Column("vote", Text(), nullable=False),
        Column("comment", Text(), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            server_default=text("clock_timestamp()"),
            nullable=False,
        ),
        ForeignKeyConstraint(["answer_id"], ["answers.id"], ondelete="CASCADE"),
        PrimaryKeyConstraint("answer_id", "key_id"),
    )
    op.create_table(
        "job_items",
        Column("job_id", Text(), nullable=False),
        Column("n", Integer(), nullable=False),
        Column("position", BigInteger(), Identity(always=True), nullable=False),
        Column("tenant", Text(), nullable=False),
        Column("source", Text(), nullable=False),
        Column("title", Text(), nullable=True),
        Column("media_type", Text(), nullable=True),
        Column("groups", ARRAY(Text()), server_default=text("'{}'"), nullable=False),
        Column("metadata", JSON(), server_default=text("'{}'"), nullable=False),
        Column("upload", Text(), nullable=False),
        Column("digest", Text(), nullable=False),
        Column("worker", Text(), nullable=True),
        Column("leased_until", DateTime(timezone=True), nullable=True),
        Column("attempts", Integer(), server_default=text("0"), nullable=False),
        Column("outcome", Text(), nullable=True),
        Column("document_id", Text(), nullable=True),
        Column("chunks", Integer(), server_default=text("0"), nullable=False),
        Column("message", Text(), nullable=True),
        Column("finished_at", DateTime(timezone=True), nullable=True),
        Column("warnings", JSON(), server_default=text("'[]'"), nullable=False),
        Column("replaced", JSON(), server_default=text("'[]'"), nullable=False),
        Column("warned", Integer(), server_default=text("0"), nullable=False),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        PrimaryKeyConstraint("job_id", "n"),
    )
    op.create_index(
        "job_items_leased",
        "job_items",
        ["worker"],
        unique=False,
        postgresql_where=text("outcome IS NULL"),
    )
    op.create_index(
        "job_items_of_a_source",
        "job_items",
        ["source"],
        unique=False,
        postgresql_using="hash",
        postgresql_where=text("outcome IS NULL"),
    )
    op.create_index(
        "job_items_with_an_upload",
        "job_items",
        ["upload"],
        unique=False,
        postgresql_using="hash",
        postgresql_where=text("outcome IS NULL"),
    )
    op.create_index(
        "job_items_waiting",
        "job_items",
        ["tenant", "position"],
        unique=False,
        postgresql_where=text("outcome IS NULL"),
    )
    op.create_table(
        "upload_blocks",
        Column("upload", Text(), nullable=False),
        Column("n", Integer(), nullable=False),
        Column("data", LargeBinary(), nullable=False),
        ForeignKeyConstraint(["upload"], ["uploads.id"], ondelete="CASCADE"),
        PrimaryKeyConstraint("upload", "n"),
    )
    op.execute("INSERT INTO key_changes (id, revision) VALUES (1, 0)")
