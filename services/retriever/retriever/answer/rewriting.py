"""The model makes a question that leans on the turns before it stand by itself: "And its battery?"
becomes "How large is the Heron's battery?".

It writes greedily, a JSON object with the question alone, so that it cannot go on to answer it. A
small model still slips an answer, or a thing of its own, into the question; so words that neither
the conversation nor the language's stop words have make it no rewrite. What is found by it stands
beside what is found without it (`answer.context`): a bad one loses nothing.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from bulkhead.errors import ApiError
from retriever.answer.model_call import ModelCall
from retriever.index.sparse import stop_terms, terms
from retriever.report import Report

logger = logging.getLogger(__name__)

SECONDS = 20.0
"""How long the search waits for a rewrite, at most."""

_TURNS = 6
"""Messages before the question that the model reads."""
_OF_ANSWER, _OF_QUESTION = 160, 300
"""Characters of an answer, from its beginning, and of a question, from its end."""
_LONGEST = 240
_MOST_TOKENS = 90
_EXAMPLES = (
    (
        "User: How much does the Lark weigh?\nAssistant: The Lark weighs 70 kg.\n"
        "Last question: And how long is it?",
        "How long is the Lark?",
    ),
    (
        "User: Where was Ada Byron born?\nAssistant: In London, in 1815.\n"
        "User: Did she have children?\nAssistant: Yes, three.\nLast question: names",
        "What are the names of Ada Byron's children?",
    ),
)
_NOTHING = (ApiError, TimeoutError, AttributeError, LookupError, TypeError, ValueError)
"""No model, no time, or something else than the JSON that was asked for."""
_FIELD = "question"
_SCHEMA = {
    "type": "object",
    "properties": {_FIELD: {"type": "string", "maxLength": _LONGEST}},
    "required": [_FIELD],
    "additionalProperties": False,
}
_FORMAT = {"type": "json_schema", "json_schema": {"name": _FIELD, "schema": _SCHEMA}}


@dataclass(frozen=True, slots=True)
class Rewriter:
    """A model that rewrites questions."""

    model: BaseChatModel
    name: str
    bound: str
    """What its server calls the most tokens of an answer."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Parameters beside it, as they go to the model."""

    async def rewritten(
        self,
        rules: str,
        history: Sequence[BaseMessage],
        question: str,
        language: str,
        report: Report,
    ) -> str | None:
        """The question as one that is understood without `history`; `rules` tell the model how.

        None where the model makes none of use, is down, or takes longer than `SECONDS`.
        """
        messages: list[BaseMessage] = [SystemMessage(rules)]
        for asked, told in _EXAMPLES:
            messages += [HumanMessage(asked), AIMessage(json.dumps({_FIELD: told}))]
        read = _conversation(history, question)
        messages.append(HumanMessage(read))
        try:
            async with asyncio.timeout(SECONDS):
                with report.stage("rewrite"):
                    said = await self._said(messages, report)
            text = _plain(json.loads(said)[_FIELD])
        except _NOTHING as error:
            logger.info("no rewrite of a question", extra={"reason": type(error).__name__})
            return None
        own = {*terms(text, language)} - {*terms(read, language)} - stop_terms(language)
        return None if own or text.casefold() == question.casefold() else text or None

    async def _said(self, messages: list[BaseMessage], report: Report) -> str:
        parameters = {**self.more, self.bound: _MOST_TOKENS, "response_format": _FORMAT}
        said = []
        with ModelCall(self.name, report.traffic) as call, call.current():
            async for chunk in self.model.astream(messages, **parameters):
                call.chunk(chunk)
                said.append(chunk.text)
        return "".join(said)


def _conversation(history: Sequence[BaseMessage], question: str) -> str:
    """The end of the conversation as the model reads it, its long turns cut."""
    lines = []
    for turn in history[-_TURNS:]:
        if isinstance(turn, AIMessage):
            lines.append(f"Assistant: {_plain(turn.text)[:_OF_ANSWER]}")
        else:
            lines.append(f"User: {_plain(turn.text)[-_OF_QUESTION:]}")
    return "\n".join([*lines, f"Last question: {_plain(question)[-_OF_QUESTION:]}"])


def _plain(text: str) -> str:
    return " ".join(text.split())
