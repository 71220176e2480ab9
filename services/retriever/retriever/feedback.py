"""What readers say of answers: one vote a key and answer, the last one counts."""

from datetime import UTC, datetime

from bulkhead.auth import Principal
from bulkhead.errors import NotFound
from retriever.database import Database


class Feedback:
    """Answers that were given, and the votes on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_answer(self, principal: Principal, answer_id: str) -> None:
        """Remember that this answer was given to this tenant, so that it can be voted on."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO answers (id, tenant, key_id, created_at) VALUES (?, ?, ?, ?)",
                (answer_id, principal.tenant, principal.key_id, _now()),
            )

    async def vote(self, principal: Principal, answer_id: str, vote: str, comment: str) -> None:
        """Keep a vote; raises `NotFound` for an answer that this tenant was never given."""
        known = await self._database.row(
            "SELECT id FROM answers WHERE id = ? AND tenant = ?", (answer_id, principal.tenant)
        )
        if known is None:
            raise NotFound("there is no answer with this id")
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT OR REPLACE INTO feedback (answer_id, key_id, vote, comment, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (answer_id, principal.key_id, vote, comment, _now()),
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
