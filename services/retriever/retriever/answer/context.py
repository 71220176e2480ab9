"""What a question in a conversation is searched for with: the turns that it may be about, and the
last answer.

They count a part of what the question counts, by meaning and by words, in one and the same search:
so they decide where the question alone does not, and hardly move one that stands by itself. They
count a little more where its form says that it leans: "And the battery?". A question that names
something is about the turn just before it; any other about the last one with words of its own, or
what was named last. `evaluation.sweep_turns` measures what is chosen here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain

import regex
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retriever.index.identifiers import identifiers
from retriever.index.sparse import stop_terms, terms
from retriever.index.stop_words import language_of
from retriever.search import Context

FEW_TERMS = 1
"""Words beside stop words with which a question hardly says what it is about."""
FURTHEST = 8
"""Turns of the user's among which the one that a question is about is looked for."""
OF_TURN, OF_ANSWER = 400, 300
"""Characters of an earlier turn, from its end, where its question stands; and of the last answer,
from its beginning."""
TURN, ANSWER = (0.2, 0.15), (0.25, 0.05)
"""What a turn and the answer count by meaning and by words, where the question counts 1."""
TURN_LEANT_ON, ANSWER_LEANT_ON = (0.25, 0.25), (0.25, 0.1)
"""The same for a question that leans."""
NAMED = (0.0, 0.25)
"""What the names in those turns count beside that, for a question that has none."""
RANK_CONSTANT = 10
"""k of the fusion by ranks (Cormack et al. 2009)."""
OF_ITS_OWN, WHOLE = 4, 7
"""Words beside stop words from which a turn without a name is about something of its own; and from
which a question that has a name points into itself: "Which of Temüjin's friends did he …"."""

# English, German, French, Spanish, Italian, Russian.
_OPENINGS = regex.compile(
    r"""\W*(?:and|but|or|so|then|also|what\ about|how\ about|what\ else|what\ if\ not
      | und|aber|oder|dann|auch|was\ ist\ mit|wie\ ist\ es\ mit|wie\ steht\ es\ mit
      | et|mais|ou|alors|donc|qu['’]en\ est-il|y|e|pero|entonces|qué\ hay\ de|y\ qué
      | ed|ma|allora|che\ dire
      | а|и|но|или|тогда|также|(?:как|что)\ насчёт)\b""",  # noqa: RUF001
    regex.VERBOSE | regex.IGNORECASE,
)
_POINTING = regex.compile(
    r"""\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|these|those|one|ones
      | that(?=\s*(?:\p{P}|$))|(?:about|of|for|with|like|is|was|does|did|than|after|before)\ that
      | the\ same|the\ (?:other|others|former|latter|first|second|last)(?=\s*(?:\p{P}|$))
      | there(?=\s*(?:\p{P}|$))|more(?=\s*(?:\p{P}|$))|else|instead|too(?=\s*(?:\p{P}|$))
      | ihn|ihm|ihr|ihre|ihren|sein|seine|seinen|deren|dessen|dieser|diese|dieses|diesen|dafür|davon
      | damit|darin|dort|celui|celle|ceux|celles|lui|leur|leurs|cela|ça|ese|esa|eso|esos|esas|este
      | esta|esto|ello|ellos|ellas|questo|questa|quello|quella|quelli|ne
      | он|она|оно|они|его|её|ее|их|ему|ей|им|этот|эта|это|эти|этого|этой|там)\b""",  # noqa: RUF001
    regex.VERBOSE | regex.IGNORECASE,
)

_NAME = regex.compile(r"(?<=[\p{Ll}\p{N},;:]\s+)\p{Lu}[\p{L}\p{N}-]*\p{L}")
# German writes every noun so. One after an article, a pronoun or a number is no name, nor what is
# said to be there ("gibt es"); so "der Heron" is none either: nothing tells it from "der Akku".
_GERMAN_NOUN = regex.compile(
    r"""\b(?i:der|die|das|dem|den|des|[mdsk]?ein(?:e[mnrs]?)?
      |(?:ihr|unser|euer|eur|dies|jed|jen|solch|welch|manch|all)(?:e[mnrs]?)?|zum|zur|im|am|beim|vom
      |ins|ans|viele?|wenige?|mehr|einige|mehrere|beide|es|\d+|zwei|drei|vier|fünf|sechs|sieben|acht
      |neun|zehn)\s+(?:\p{Ll}+e[mnrs]?\s+){0,2}\p{Lu}[\p{L}\p{N}-]*\p{L}""",
    regex.VERBOSE,
)


def leans(question: str, language: str) -> bool:
    """Whether the question cannot be understood without the turns before it, by its form."""
    if _OPENINGS.match(question):
        return True
    telling = len(_telling(question, language))
    if _POINTING.search(question):
        return telling < WHOLE or not names(question)
    return telling <= FEW_TERMS and not identifiers(question)


def context_of(before: Sequence[str], answer: str, question: str, language: str) -> list[Context]:
    """What the question is searched for with; nothing at the beginning of a conversation.

    `before` are the user's turns, oldest first, and `answer` is what was said last, if anything.
    """
    if not before:
        return []
    turns = [turn[-OF_TURN:] for turn in before[-FURTHEST:]]
    of_turn, of_answer = TURN, ANSWER
    if leans(question, language):
        of_turn, of_answer = TURN_LEANT_ON, ANSWER_LEANT_ON
    named = names(question)
    about = turns[-1:] if named else _told(turns, language)
    said = [*((turn, of_turn) for turn in about), (answer[:OF_ANSWER], of_answer)]
    if not named:
        said.append((" ".join(dict.fromkeys(chain(*map(names, about)))), NAMED))
    return [Context(text, *counts) for text, counts in said if text.strip()]


def _told(turns: Sequence[str], language: str) -> list[str]:
    """The last turn that is about something; where that names nothing, also the last that does."""
    nearest = turns[::-1]
    own = (turn for turn in nearest if names(turn) or _is_of_its_own(turn, language))
    named = (turn for turn in nearest if names(turn))
    last = next(own, turns[-1])
    return list(dict.fromkeys((last, last if names(last) else next(named, last))))


def _is_of_its_own(turn: str, language: str) -> bool:
    return len(_telling(turn, language)) >= OF_ITS_OWN and not leans(turn, language)


def _telling(question: str, language: str) -> set[str]:
    return set(terms(question, language)) - stop_terms(language)


def names(turn: str) -> list[str]:
    """What the turn names: words with a capital inside a sentence, and codes."""
    if language_of(turn) == "de":
        turn = _GERMAN_NOUN.sub(" ", turn)
    return [*_NAME.findall(turn), *identifiers(turn)]


async def find(
    retriever: BaseRetriever,
    question: str,
    rewrite: Callable[[], Awaitable[str | None]] | None = None,
) -> tuple[list[Document], str | None]:
    """What the retriever finds, best first, and the question as it was rewritten, if it was.

    It is searched for as `rewrite` makes it, too, which is written meanwhile; the two lists are
    fused by reciprocal ranks, so that a bad one takes the place of nothing.
    """
    writing = asyncio.create_task(_written(rewrite)) if rewrite else None
    try:
        found = await retriever.ainvoke(question)
        text = await writing if writing else None
        return _fused(found, await retriever.ainvoke(text)) if text else found, text
    finally:
        if writing:
            writing.cancel()


async def _written(rewrite: Callable[[], Awaitable[str | None]]) -> str | None:
    return await rewrite()


def _fused(*lists: list[Document]) -> list[Document]:
    scores: dict[str, float] = {}
    for found in lists:
        for rank, document in enumerate(found):
            scores[_key(document)] = scores.get(_key(document), 0.0) + 1 / (RANK_CONSTANT + rank)
    once = {_key(document): document for document in reversed([*chain(*lists)])}
    return sorted(once.values(), key=lambda document: -scores[_key(document)])[
        : max(map(len, lists))
    ]


def _key(document: Document) -> str:
    return document.id or document.page_content
