"""Citations, made while the answer streams: the server's own markers, never the model's."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from retriever.agent.steps import ToolSource
from retriever.answer.abstention import abstains, plain
from retriever.answer.ground import EVALUATOR, Evidence, Support
from retriever.answer.sentences import LONGEST_LINE, boundary
from retriever.nested import without

_MARKER = re.compile(r"[ \t]?(?:\[\s*\d+(?:\s*[,;–-]\s*\d+)*\s*\]|【[^\[【】]{0,32}】)")
_LONGEST_MARKER = 67
# What may turn out to be a marker, or the line break that ends a sentence.
_UNDECIDED = re.compile(
    r"(?:\n[ \t]{0,24}+\d{0,3}+[.)]?+[ \t]{0,8}+|(?=[\[【]))"
    r"(?:\[[\s\d,;–-]{0,64}+|【[^\[【】]{0,32}+)*+\Z"
)
_LONGEST_UNDECIDED = 100
_LONGEST_SPACE = 40
"""Characters of white space that wait for what comes after them; of more, the last ones."""
_OPENS = frozenset("[【\n")  # without these, and without a space at its end, nothing is undecided
_SPACE = re.compile(r"\s*+")
_LOOK_EVERY = 12  # characters of a sentence after which it is looked at for looping words
_LONG = 12  # characters from which a sentence said twice is a loop, not a turn of phrase


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a sentence of the answer is borne out; `text[start:end] == quote` in the document.

    With `tool`, in the text of that call's step: `document_id` is then the step's id.
    """

    marker: str
    document_id: str
    chunk_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    quote: str
    score: float
    tool: ToolSource | None = None


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the check of an answer found. An abstention is neither supported nor unsupported."""

    supported: bool
    unsupported: list[str]
    abstained: bool
    evaluator: str = EVALUATOR


class CitingStream:
    """Takes the model's words as they come and gives them on, with a marker after each sentence
    that a source bears out. A marker that the model wrote is dropped."""

    def __init__(self, evidence: Evidence, abstentions: Set[str] = frozenset()) -> None:
        """`abstentions` are the sentences, made `plain`, that are said where there is no answer."""
        self._evidence = evidence
        self._abstentions = abstentions
        self._held = ""
        self._pending = ""
        """The line that the sentence begins in, as far as it is needed, and the sentence so far."""
        self._start = 0
        """Where in it the sentence begins."""
        self._unsupported: list[str] = []
        self._abstained = False
        self._said: set[str] = set()
        self._cited_before: dict[tuple[str, str], Citation] = {}
        self._looked = 0
        self.repeats = False
        """The model has begun to say whole sentences again: it loops, and should be stopped."""
        self.citations: list[Citation] = []

    def rest_on(self, evidence: Evidence) -> None:
        """Check what comes from here on against `evidence`."""
        self._evidence = evidence

    def feed(self, words: str) -> str:
        """What can be shown now. The rest is held until it is sure to be no marker."""
        if not self._held and _OPENS.isdisjoint(words) and not words[-1:].isspace():
            return "".join(self._cited(words))  # most tokens; a fraction of the patterns' time
        text = without(self._held + words, _MARKER, _LONGEST_MARKER)
        cut = _decided(text)
        self._held = text[cut:]
        return "".join(self._cited(text[:cut], _certain_space(self._held)))

    def end(self, finished: bool = True) -> str:
        """What is left to show, once the model has stopped.

        A sentence that was cut off (`finished` false) is neither cited nor blamed.
        """
        rest = "".join(self._cited(self._held.rstrip()))
        return rest + self._close(self._pending[self._start :]) if finished else rest

    def grounding(self) -> Grounding:
        """The verdict on the whole answer; to be asked for after `end`."""
        supported = bool(self.citations) and not self._unsupported
        abstained = self._abstained and not self.citations
        return Grounding(
            supported=supported and not abstained,
            unsupported=[] if abstained else self._unsupported,
            abstained=abstained,
        )

    def _cited(self, text: str, after: str = "") -> Iterator[str]:
        """`text`, with the markers of the sentences that end in it; `after` is what follows it."""
        pending, start, seen = self._pending + text, self._start, len(self._pending)
        ahead = pending + after
        while True:
            if start == seen:  # white space before a sentence is none of it
                space = _SPACE.match(pending, start)
                assert space is not None
                yield space[0]
                start = seen = space.end()
            end = boundary(ahead, start, seen)
            if end is None or end > len(pending):
                break
            yield pending[seen:end]
            yield self._close(pending[start:end])
            if self.repeats:  # what came along with the sentence said twice is no better
                return
            start = seen = end
        yield pending[seen:]
        line = max(0, start - LONGEST_LINE, pending.rfind("\n", 0, start))
        self._pending, self._start = pending[line:], start - line
        length = len(pending) - start
        if length - self._looked >= _LOOK_EVERY:
            self._looked = length
            self.repeats = self.repeats or _loops(pending[start:])

    def _close(self, sentence: str) -> str:
        """Check a sentence that just ended; its markers, if the sources bear it out."""
        sentence, self._looked = sentence.strip(), 0
        self.repeats = self.repeats or (len(sentence) >= _LONG and sentence in self._said)
        self._said.add(sentence)
        if not sentence or sentence.endswith(":"):  # it only leads to the next one
            return ""
        if plain(sentence) in self._abstentions:
            self._abstained = True
            return ""
        supports = self._evidence.supports(sentence)
        if not supports:
            return ""
        if all(support.supported for support in supports):
            markers = dict.fromkeys(self._cite(support).marker for support in supports)
            return "".join(f" [{marker}]" for marker in markers)
        if abstains(sentence):
            self._abstained = True
        else:
            self._unsupported.append(sentence)
        return ""

    def _cite(self, support: Support) -> Citation:
        quoted = support.hit.chunk_id, support.quote
        known = self._cited_before.get(quoted)
        if known is not None:
            return known
        citation = Citation(
            marker=str(len(self.citations) + 1),
            document_id=support.hit.document_id,
            chunk_id=support.hit.chunk_id,
            title=support.hit.title,
            source=support.hit.source,
            page=support.hit.page_at(support.start),
            start=support.start,
            end=support.end,
            quote=support.quote,
            score=support.score,
        )
        self._cited_before[quoted] = citation
        self.citations.append(citation)
        return citation


def _decided(text: str) -> int:
    """How much of `text` is decided: not the end that may become a marker, nor the space there."""
    undecided = _UNDECIDED.search(text, max(0, len(text) - _LONGEST_UNDECIDED))
    end = undecided.start() if undecided else len(text)
    least = max(0, end - _LONGEST_SPACE)
    return least + len(text[least:end].rstrip())


def _certain_space(held: str) -> str:
    """The white space that comes next in any case: a marker takes a blank before it with it."""
    return held[:1] if held.lstrip(" \t")[:1].isspace() else ""


def _loops(text: str) -> bool:
    """Whether `text` ends in one to eight words said four times in a row, a half word aside."""
    words = text[-400:].split()[:-1]
    return any(len(words) >= 4 * n and words[-4 * n :] == words[-n:] * 4 for n in range(1, 9))
