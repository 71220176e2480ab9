"""What readers say of answers: one vote a key and answer, the last one counts."""

import logging

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from bulkhead.auth import Principal, Role
from bulkhead.errors import NotFound, Unavailable
from retriever.database import Database
from retriever.state.schema import answers, clock, feedback

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
            await self._database.write(
                insert(answers).values(
                    id=answer_id, tenant=principal.tenant, key_id=principal.key_id
                )
            )
        except Unavailable as error:
            logger.warning("an answer cannot be voted on", extra={"reason": error.message})

    async def vote(self, principal: Principal, answer_id: str, vote: str, comment: str) -> None:
        """Keep a vote; raises `NotFound` for an answer that this key was never given.

        An admin may vote on every answer that its tenant was given.
        """
        given = select(answers.c.id).where(
            answers.c.id == answer_id, answers.c.tenant == principal.tenant
        )
        if principal.role is not Role.ADMIN:
            given = given.where(answers.c.key_id == principal.key_id)
        if await self._database.row(given) is None:
            raise NotFound("there is no answer with this id")
        said = {"vote": vote, "comment": comment, "created_at": clock()}
        await self._database.write(
            insert(feedback)
            .values(answer_id=answer_id, key_id=principal.key_id, **said)
            .on_conflict_do_update(
                index_elements=[feedback.c.answer_id, feedback.c.key_id], set_=said
            )
        )
