"""What the model says, checked against all that was found while it streams."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

import orjson

from retriever.agent.links import LinkFilter
from retriever.agent.steps import Step
from retriever.answer.cite import Citation, CitingStream, Grounding
from retriever.answer.ground import Evidence
from retriever.index.model import Hit
from retriever.report import Report


class CheckedStream:
    """Words in, words out: with our citations, and without links or the model's own markers."""

    def __init__(
        self,
        question: str,
        shown: Sequence[Hit],
        found: Sequence[Hit],
        language: str,
        threshold: float,
        report: Report,
        marked: bool = True,
        abstentions: Set[str] = frozenset(),
    ) -> None:
        """`shown` are the chunks that the model reads, of all that were `found`, best first.

        `threshold` is the share of a sentence's weight that a quote must hold. Unless `marked` the
        answer is JSON: it stays as the model wrote it, but for links, and its texts are checked.
        `abstentions` are as `CitingStream` takes them.
        """
        self._marked = marked
        self._json: list[str] = []
        self._question, self._language, self._threshold = question, language, threshold
        self._shown, self._found = list(shown), list(found)
        self._report = report
        self._sources: dict[str, Step] = {}
        self._speaking = False  # the model has said something since the last call
        self.evidence = self._evidence()
        self._stream = CitingStream(self.evidence, abstentions)
        self._links = LinkFilter({hit.source for hit in shown})

    def _evidence(self) -> Evidence:
        with self._report.stage("prepare"):
            return Evidence(
                self._question, self._shown, self._found, self._language, self._threshold
            )

    def feed(self, words: str) -> str:
        """What can be shown now."""
        self._speaking = self._speaking or bool(words)
        with self._report.stage("cite"):
            if self._marked:
                return self._links.feed(self._stream.feed(words))
            self._json.append(words)
            return self._links.feed(words)

    def learn(self, step: Step) -> str:
        """Let what comes from here on rest on a tool's result too; the end of what came before."""
        self._sources[step.id] = step
        learned = step.hits()
        self._shown, self._found = once([*self._shown, *learned]), once([*self._found, *learned])
        self.evidence = self._evidence()
        self.evidence.take_apart()
        self._stream.rest_on(self.evidence)
        self._links.allow({hit.source for hit in step.found})
        words = self.feed("\n\n") if self._speaking else ""
        self._speaking = False
        return words

    def end(self, finished: bool) -> str:
        """What is left to show; `finished` is false where the model was cut off."""
        with self._report.stage("cite"):
            for text in _texts("".join(self._json)):
                self._stream.feed(f"{text}\n\n")
            rest = self._stream.end(finished and not self.repeats)
            return self._links.feed(rest if self._marked else "") + self._links.end()

    @property
    def repeats(self) -> bool:
        """The model loops, and should be stopped; JSON may say a thing twice."""
        return self._marked and self._stream.repeats

    @property
    def citations(self) -> list[Citation]:
        """The citations; those of a tool's result say which call it came from."""
        return [
            replace(one, tool=self._sources[one.document_id].source)
            if one.document_id in self._sources
            else one
            for one in self._stream.citations
        ]

    def grounding(self) -> Grounding:
        """The verdict on the whole answer, without links too; to be asked for after `end`."""
        grounding = self._stream.grounding()
        without_links = [self._links.without(sentence) for sentence in grounding.unsupported]
        return replace(grounding, unsupported=without_links)


def _texts(answer: str) -> Iterator[str]:
    """The texts of an answer in JSON; nothing where it is none, as one that was cut off."""
    try:
        left = [orjson.loads(answer)]
    except orjson.JSONDecodeError:
        return
    while left:
        value = left.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            left[:0] = value
        elif isinstance(value, dict):
            left[:0] = value.values()


def once(hits: Sequence[Hit]) -> list[Hit]:
    """Each chunk once, where it came first."""
    return list({hit.chunk_id: hit for hit in reversed(hits)}.values())[::-1]
