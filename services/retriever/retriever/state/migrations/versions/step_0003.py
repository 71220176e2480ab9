"""Runs: bulk ingestions, each of which fills a job."""

from alembic import op
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Text,
    func,
    text,
)

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make their table, and an index of their documents alone."""
    op.create_table(
        "runs",
        Column("job_id", Text(), nullable=False),
        Column("expected", Integer()),
        Column(
            "seen_at",
            DateTime(timezone=True),
            server_default=func.clock_timestamp(),
            nullable=False,
        ),
        Column("waiting", Text()),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        PrimaryKeyConstraint("job_id"),
    )
    op.create_index(
        "job_items_of_a_run",
        "job_items",
        ["source"],
        postgresql_using="hash",
        postgresql_where=text("worker = 'bulk'"),
    )
