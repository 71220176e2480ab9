"""What to search for when a question leans on the turns before it: "And the battery?".

A question that leans says so by its form: it begins with "and" or "what about", speaks of "it" with
nothing in it that this could be, or hardly has a word of its own. Then it is searched for alone and
together with the turn that it leans on, and the two lists are fused. A question that stands by
itself is searched for by itself, whatever was said before. `evaluation.sweep_turns` measures what
is chosen here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import NamedTuple

import regex
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retriever.index.identifiers import identifiers
from retriever.index.sparse import stop_terms, terms
from retriever.index.stop_words import language_of

FEW_TERMS = 1
"""Words beside stop words with which a question hardly says what it is about."""
FURTHEST = 8
"""Turns of the user's among which one to lean on is looked for."""
MOST_CHARACTERS = 400
"""The end of an earlier turn that is searched for too: there its question stands."""
RANK_CONSTANT = 10
"""k of the fusion by ranks (Cormack et al. 2009)."""
TOGETHER, TOGETHER_BARE = 3.0, 2.0
"""Weight of the list found together with the turn before, beside 1 for the question alone; and for
one that leans by its lack of words alone: "What is Nexus?" may be of anything."""
REWRITTEN = 1.0
"""Weight of the list found for the question as the model rewrote it: no more than the question's,
so that a bad one takes the place of nothing."""
OF_ITS_OWN, WHOLE = 4, 7
"""Words beside stop words from which a question weighs as much as it does with the turn before; and
from which one that has a name, too, points into itself: "Which of Temüjin's friends did he …"."""

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


class Search(NamedTuple):
    """A text to search for, and how much its list weighs among others."""

    text: str
    weight: float


def searches(before: Sequence[str], question: str, language: str) -> list[Search]:
    """What to search for: the question, and where it leans, it after the turn that it leans on.

    `before` are the user's turns, oldest first. One that names something ("And for the Heron?")
    asks the turn just before it of something else; any other is asked of what was named last.
    """
    alone = Search(question, 1.0)
    if not before or not leans(question, language):
        return [alone]
    nearest = reversed(before[-FURTHEST:])
    told = (turn for turn in nearest if names(turn) or not leans(turn, language))
    turn = before[-1] if names(question) else next(told, before[-1])
    together = f"{turn[-MOST_CHARACTERS:]}\n{question}"
    return [alone, Search(together, _weight(question, language))]


def _weight(question: str, language: str) -> float:
    """What the list counts that is found for the question together with the turn before."""
    telling = len(_telling(question, language))
    if telling >= OF_ITS_OWN:
        return 1.0
    bare = telling and not (_OPENINGS.match(question) or _POINTING.search(question))
    return TOGETHER_BARE if bare else TOGETHER


def _telling(question: str, language: str) -> set[str]:
    return set(terms(question, language)) - stop_terms(language)


def names(turn: str) -> bool:
    """Whether the turn names something: a word with a capital inside a sentence, or a code."""
    if language_of(turn) == "de":
        turn = _GERMAN_NOUN.sub(" ", turn)
    return bool(_NAME.search(turn) or identifiers(turn))


async def find(
    retriever: BaseRetriever,
    asked: Sequence[Search],
    rewrite: Callable[[], Awaitable[str | None]] | None = None,
) -> tuple[list[Document], list[str]]:
    """What the retriever finds for the `searches`, best first, and the texts searched for.

    A question that leans is searched for as `rewrite` makes it, too; it is written while the others
    are found. Several lists are fused by weighted reciprocal ranks.
    """
    writing = asyncio.create_task(_written(rewrite)) if rewrite and len(asked) > 1 else None
    try:
        lists = [await retriever.ainvoke(search.text) for search in asked]
        if writing and (text := await writing):
            asked = [*asked, Search(text, REWRITTEN)]
            lists.append(await retriever.ainvoke(text))
    finally:
        if writing:
            writing.cancel()
    return _fused(asked, lists), [search.text for search in asked]


async def _written(rewrite: Callable[[], Awaitable[str | None]]) -> str | None:
    return await rewrite()


def _fused(asked: Sequence[Search], lists: Sequence[list[Document]]) -> list[Document]:
    if len(lists) == 1:
        return lists[0]
    scores: dict[str, float] = {}
    for search, found in zip(asked, lists, strict=True):
        for rank, document in enumerate(found):
            score = search.weight / (RANK_CONSTANT + rank)
            scores[_key(document)] = scores.get(_key(document), 0.0) + score
    once = {_key(document): document for document in reversed([*chain(*lists)])}
    return sorted(once.values(), key=lambda document: -scores[_key(document)])[
        : max(map(len, lists))
    ]


def _key(document: Document) -> str:
    return document.id or document.page_content
