"""Words that turn a statement round: opposites of direction and state, and words that deny.

Opposites are English. What denies is known in English, German, French, Spanish, Italian, Russian
and Chinese.
"""

from collections.abc import Set
from functools import cache

import regex

from retriever.index.sparse import terms

_PAIRS = """
north south, northern southern, northeast southwest, northwest southeast, east west, eastern
western, left right, top bottom, upper lower, front back, above below, up down, upward downward,
upstream downstream, inside outside, inner outer, internal external, interior exterior, inbound
outbound, incoming outgoing, import export, forward backward, clockwise anticlockwise, clockwise
counterclockwise, ascending descending, ascend descend, arrive depart, arrival departure, enter
leave, entry exit, push pull, upload download, send receive, sender receiver, open closed, opened
closed, open shut, opens closes, lock unlock, locked unlocked, enabled disabled, enable disable,
active inactive, activate deactivate, connected disconnected, online offline, started stopped,
start stop, begin end, began ended, first last, earliest latest, early late, earlier later, before
after, previous next, older newer, old new, oldest newest, increase decrease, increased decreased,
increasing decreasing, rise fall, rose fell, rising falling, grow shrink, grew shrank, gain loss,
gained lost, win lose, won lost, victory defeat, expand contract, accelerate decelerate, maximum
minimum, maximal minimal, most least, more less, more fewer, higher lower, high low, highest
lowest, larger smaller, large small, largest smallest, longer shorter, long short, longest
shortest, greater lesser, faster slower, fast slow, fastest slowest, heavier lighter, heavy light,
stronger weaker, strong weak, hot cold, warm cool, hotter colder, heat cool, wet dry, full empty,
thick thin, wide narrow, deep shallow, hard soft, allow forbid, allowed forbidden, allow deny,
allowed denied, permit prohibit, permitted prohibited, accept reject, accepted rejected, accept
refuse, accepted refused, include exclude, included excluded, approve reject, approved rejected,
succeed fail, succeeded failed, success failure, pass fail, passed failed, valid invalid, true
false, correct incorrect, possible impossible, legal illegal, public private, visible hidden,
mandatory optional, required optional, necessary unnecessary, positive negative, always never,
often rarely, agree disagree, support oppose, supported opposed, encourage discourage, encrypted
unencrypted, attach detach, attached detached, add remove, added removed, insert delete, create
destroy, created destroyed, build demolish, buy sell, bought sold, lend borrow, day night, summer
winter, morning evening, male female, man woman, men women, north-east south-west, ancient modern,
rich poor, urban rural, major minor, majority minority, simple complex, similar different, same
different, presence absence, present absent, alive dead, birth death, born died, love hate
"""
_DENIES = regex.compile(
    r"""\b(?:not|never|no|none|nor|neither|without|cannot|nobody|nothing|nowhere|hardly|\w+n['\u2019]t
      | nicht|kein\w*|nie|niemals|ohne|weder|nichts
      | ne|n['\u2019]|pas|jamais|aucune?|sans|ni
      | nunca|jam[aá]s|sin|ning[uú]n\w*|tampoco
      | non|mai|senza|nessun\w*|n[eé]
      | не|нет|никогда|без|ни)\b | [不没無无未非]""",
    regex.VERBOSE | regex.IGNORECASE,
)
_LACKS = regex.compile(
    r"\b(?:un\w{3,}|\w{3,}less|lack\w*|fail\w*|except|refus\w*|prevent\w*|den(?:y|ie[sd])"
    r"|only|rather|instead|absen\w+|prohibit\w*|forbid\w*|reject\w*|stop\w*|avoid\w*)\b",
    regex.IGNORECASE,
)
"""Other ways to deny, in the source of a sentence that says "not"."""


def denies(sentence: str) -> bool:
    """Whether the sentence says that something is not so."""
    return bool(_DENIES.search(sentence))


def may_deny(passage: str) -> bool:
    """Whether a source may be read as denying something."""
    return bool(_DENIES.search(passage) or _LACKS.search(passage))


@cache
def _opposites(language: str) -> dict[str, frozenset[str]]:
    known: dict[str, set[str]] = {}
    for pair in _PAIRS.replace("\n", " ").split(","):
        one, other = (frozenset(terms(word, language)) for word in pair.split())
        if len(one) == len(other) == 1 and one != other:
            (first,), (second,) = one, other
            known.setdefault(first, set()).add(second)
            known.setdefault(second, set()).add(first)
    return {word: frozenset(others) for word, others in known.items()}


def turned(sentence: Set[str], chunk: Set[str], quote: Set[str], language: str) -> bool:
    """Whether the sentence has the opposite of what its quote says, by the terms of each.

    A word that its chunk has too is no such change.
    """
    known = _opposites(language)
    return any(not known[word].isdisjoint(quote) for word in sentence - chunk if word in known)
