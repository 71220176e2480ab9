"""What readers say of answers: one vote a key and answer, the last one counts."""

import logging
from datetime import UTC, datetime

from bulkhead.auth import Principal, Role
from bulkhead.errors import NotFound, Unavailable
from retriever.database import Database

logger = logging.getLogger(__name__)


class Feedback:
    """Answers that were given, and the votes on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_answer(self, principal: Principal, answer_id: str) -> None:
        """Remember to which key this answer was given, so that it can be voted on.

        Where that cannot be written, a full disk above all, the answer is given without it.
        """
        try:
            await self._note(principal, answer_id)
        except Unavailable as error:
            logger.warning("an answer cannot be voted on", extra={"reason": error.message})

    async def _note(self, principal: Principal, answer_id: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO answers (id, tenant, key_id, created_at) VALUES (?, ?, ?, ?)",
                (answer_id, principal.tenant, principal.key_id, _now()),
            )

    async def vote(self, principal: Principal, answer_id: str, vote: str, comment: str) -> None:
        """Keep a vote; raises `NotFound` for an answer that this key was never given.

        An admin may vote on every answer that its tenant was given.
        """
        condition, parameters = "id = ? AND tenant = ?", [answer_id, principal.tenant]
        if principal.role is not Role.ADMIN:
            condition += " AND key_id = ?"
            parameters.append(principal.key_id)
        known = await self._database.row(f"SELECT id FROM answers WHERE {condition}", parameters)  # noqa: S608  # no value in it
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
