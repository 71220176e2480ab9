"""A chunker that another package brings, in place of our own.

A package says `[project.entry-points."bulkhead.chunkers"]` and gives a `Plugin`; the setting
`RETRIEVER_CHUNKER` names the one that is used. It works in the process that cuts texts, which is
killed when it takes too long or too much; what it gives is checked before it is embedded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from bulkhead.plugins import load_plugin
from retriever.ingest.chunk import Chunk
from retriever.parsed import Heading

GROUP = "bulkhead.chunkers"
Split = Callable[[str, Sequence[Heading], bool], list[Chunk]]
"""From a text, its headings and whether its marks are Markdown's, to chunks in order."""


@dataclass(frozen=True)
class Plugin:
    """`make(tokenizer, max_tokens, overlap_tokens)` gives a function that cuts texts."""

    make: Callable[[Tokenizer, int, int], Callable[[str, Sequence[Heading], bool], Iterable[Chunk]]]


class BadChunks(Exception):
    """What a chunker gave cannot be used; in words that hold nothing of the text."""


def check_chunker(name: str) -> None:
    """Whether the chunker is there. Raises `ValueError`, in words for the operator."""
    if name:
        load_plugin(GROUP, name, Plugin)


class Own:
    """Another package's chunker, checked."""

    def __init__(
        self, name: str, tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int
    ) -> None:
        """Raises `ValueError` for one that cannot be loaded or made."""
        own = Tokenizer.from_str(tokenizer.to_str())  # the caller's copy keeps its settings
        own.no_truncation()
        own.no_padding()
        self._name, self._tokenizer, self._most = name, own, max_tokens
        made = load_plugin(GROUP, name, Plugin).make
        try:
            self._cut = made(own, max_tokens, overlap_tokens)
        except Exception as error:  # whatever foreign code does
            raise ValueError(f"the chunker {name!r} cannot be made: {error}") from error

    def split(self, text: str, headings: Sequence[Heading], markdown: bool) -> list[Chunk]:
        """Its chunks of a text. Raises `BadChunks`."""
        try:
            chunks = list(self._cut(text, headings, markdown))
        except MemoryError:
            raise
        except Exception as error:
            raise self._bad(f"broke off ({type(error).__name__})") from error
        last = -1
        for chunk in chunks:
            if not isinstance(chunk, Chunk) or not _is_span(chunk, len(text)):
                raise self._bad(f"gave a chunk that is not in a text of {len(text)} characters")
            if chunk.start <= last:
                raise self._bad("gave chunks out of order")
            last = chunk.start
            tokens = len(
                self._tokenizer.encode(text[chunk.start : chunk.end], add_special_tokens=False)
            )
            if tokens > self._most:
                raise self._bad(f"gave a chunk of {tokens} tokens, and {self._most} fit the model")
        if text.strip() and not chunks:
            raise self._bad("gave no chunk of a text")
        return chunks

    def _bad(self, problem: str) -> BadChunks:
        return BadChunks(f"The chunker {self._name!r} {problem}: tell whoever keeps it.")


def _is_span(chunk: Chunk, length: int) -> bool:
    whole = type(chunk.start) is int and type(chunk.end) is int
    named = isinstance(chunk.heading, str) and isinstance(chunk.table_header, str)
    return whole and named and 0 <= chunk.start < chunk.end <= length
