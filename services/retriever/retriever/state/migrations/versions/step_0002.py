"""Holds: while one lasts, no points of documents go."""

from alembic import op
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "holds",
        Column("id", Text(), nullable=False),
        Column("ends_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("id"),
    )
