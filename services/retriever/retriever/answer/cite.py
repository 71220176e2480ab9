"""Citations, made while the answer streams: the server's own markers, never the model's."""

from collections.abc import Iterator
from dataclasses import dataclass

import regex

from retriever.agent.steps import ToolSource
from retriever.answer.ground import EVALUATOR, Evidence, Support
from retriever.answer.sentences import boundary

_MARKER = regex.compile(r"[ \t]?(?:\[\s*\d+(?:\s*[,;–-]\s*\d+)*\s*\]|【[^】]{0,32}】)")
# What may turn out to be a marker, or the space before one, or the line break that ends a sentence.
_UNDECIDED = regex.compile(r"\s*(?:\[[\s\d,;–-]{0,32}|【[^】]{0,32}|(?<=\n[ \t]*)\d{0,3}[.)]?)?$")
_OPENS = frozenset("[【\n")  # without these, and without a space at its end, nothing is undecided
_ABSTAINS = regex.compile(
    r"\b(?:(?:do|does|did|is|are|was|were|can|could)(?: not|n['’]t)|cannot|not|no)\b[^.!?]{0,40}"
    r"\b(?:know|found|find|mention\w*|provided|contain\w*|specif\w+|stated?|information|enough"
    r"|answer|available|say)\b",
    regex.IGNORECASE,
)

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

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._held = ""
        self._sentence = ""
        self._unsupported: list[str] = []
        self._abstained = False
        self._said: set[str] = set()
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
        text = _MARKER.sub("", self._held + words)
        undecided = _UNDECIDED.search(text)
        assert undecided is not None  # it matches at the very end, if nowhere else
        cut = undecided.start()
        self._held = text[cut:]
        return "".join(self._cited(text[:cut]))

    def end(self, finished: bool = True) -> str:
        """What is left to show, once the model has stopped.

        A sentence that was cut off (`finished` false) is neither cited nor blamed.
        """
        rest = "".join(self._cited(self._held.rstrip()))
        return rest + self._close_sentence() if finished else rest

    def grounding(self) -> Grounding:
        """The verdict on the whole answer; to be asked for after `end`."""
        supported = bool(self.citations) and not self._unsupported
        abstained = self._abstained and not self.citations
        return Grounding(
            supported=supported and not abstained,
            unsupported=[] if abstained else self._unsupported,
            abstained=abstained,
        )

    def _cited(self, text: str) -> Iterator[str]:
        """`text`, with the markers of the sentences that end in it."""
        seen = len(self._sentence)
        pending = self._sentence + text
        while (end := boundary(pending, seen=seen)) is not None:
            yield pending[seen:end]
            self._sentence = pending[:end]
            yield self._close_sentence()
            if self.repeats:  # what came along with the sentence said twice is no better
                return
            pending, seen = pending[end:], 0
        yield pending[seen:]
        self._sentence = pending
        if len(pending) - self._looked >= _LOOK_EVERY:
            self._looked = len(pending)
            self.repeats = self.repeats or _loops(pending)

    def _close_sentence(self) -> str:
        """Check the sentence that just ended; its markers, if the sources bear it out."""
        sentence, self._sentence, self._looked = self._sentence.strip(), "", 0
        self.repeats = self.repeats or (len(sentence) >= _LONG and sentence in self._said)
        self._said.add(sentence)
        if not sentence or sentence.endswith(":"):  # it only leads to the next one
            return ""
        supports = self._evidence.supports(sentence)
        if not supports:
            return ""
        if all(support.supported for support in supports):
            markers = dict.fromkeys(self._cite(support).marker for support in supports)
            return "".join(f" [{marker}]" for marker in markers)
        if _ABSTAINS.search(sentence):
            self._abstained = True
        else:
            self._unsupported.append(sentence)
        return ""

    def _cite(self, support: Support) -> Citation:
        for known in self.citations:
            if (known.chunk_id, known.quote) == (support.hit.chunk_id, support.quote):
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
        self.citations.append(citation)
        return citation


def _loops(text: str) -> bool:
    """Whether `text` ends in one to eight words said four times in a row, a half word aside."""
    words = text[-400:].split()[:-1]
    return any(len(words) >= 4 * n and words[-4 * n :] == words[-n:] * 4 for n in range(1, 9))
