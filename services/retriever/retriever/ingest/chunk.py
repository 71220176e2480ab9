"""Text to chunks that fit the embedding model, with exact offsets.

semantic-text-splitter (Rust) finds the borders: headings, blocks and paragraphs before lines, lines
before sentences, sentences before words. It measures with the embedding model's own tokenizer.
Five things are added to it:

- Blocks. Its time grows faster than its input (Chinese without a full stop: 0.1 s for 8,000
  characters, 5 s for 64,000), so it gets at most `BLOCK_CHARACTERS` at a time, cut at the strongest
  border near the end.
- A bound in characters. To WordPiece a run of 100,000 letters is one token ([UNK]) and 100,000
  spaces are none, so tokens alone do not bound a chunk.
- The trail of headings above each chunk, for the embedding to see what the chunk is about.
- No chunk ends in a heading: that belongs to what comes after it.
- A table that is longer than a chunk is cut between its rows, and each chunk that begins among them
  knows the table's header and has room for it.

A chunk's tokens are counted without the model's special tokens: pass `max_tokens` = the model's
limit less `tokenizer.num_special_tokens_to_add(False)`, and less what the caller puts before the
text.
"""

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from retriever.ingest.tables import Table, header_above, tables
from retriever.parsed import Heading

BLOCK_CHARACTERS = 8_000
CHARACTERS_PER_TOKEN = 10  # twice what English prose has

_BORDERS = ("\n\n", "\r\n\r\n", "\n", ". ", "。", " ")
_LEAST_ROOM = 8  # tokens below a heading
_SURROGATE = re.compile("[\ud800-\udfff]")


class Chunk(NamedTuple):
    """`text[start:end]` in code points, and what stands above `start`.

    The headings are joined by " > "; `table_header` is there when it begins among a table's rows.
    """

    start: int
    end: int
    heading: str = ""
    table_header: str = ""


class Chunker:
    """Splits text by a tokenizer's count. Safe to reuse; holds no state between calls."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int = 0) -> None:
        """`overlap_tokens`: how much of a chunk's end the next may repeat.

        ValueError on limits that cannot hold.
        """
        if max_tokens < 8 or not 0 <= overlap_tokens < max_tokens:
            raise ValueError(
                "max_tokens must be at least 8 and overlap_tokens below it,"
                f" not {max_tokens} and {overlap_tokens}"
            )
        own = Tokenizer.from_str(tokenizer.to_str())  # the caller's copy keeps its settings
        own.no_truncation()
        own.no_padding()
        self._tokenizer = own
        self._max_tokens = max_tokens
        self._max_characters = max_tokens * CHARACTERS_PER_TOKEN
        self._text = TextSplitter.from_huggingface_tokenizer(own, max_tokens, overlap_tokens)
        self._markdown = MarkdownSplitter.from_huggingface_tokenizer(
            own, max_tokens, overlap_tokens
        )
        self._characters = TextSplitter(self._max_characters)

    def split(
        self, text: str, headings: Sequence[Heading] = (), markdown: bool = False
    ) -> list[Chunk]:
        """Chunks in order; together they hold every character of `text` that is not white space.

        `headings` in order, as the parser found them; `markdown`: borders are Markdown's.
        Each has at most `max_tokens` tokens and 10 times as many characters. ValueError if `text`
        holds a lone surrogate, which no tokenizer can read.
        """
        if (bad := _SURROGATE.search(text)) is not None:
            raise ValueError(f"text holds a lone surrogate at {bad.start()}: not Unicode text")
        whole = text.strip()
        if self._fits(whole):  # counted once; the splitter would count it many times
            start = len(text) - len(text.lstrip())
            return [Chunk(start, start + len(whole))] if whole else []
        trail = _Trail(headings)
        splitter = self._markdown if markdown else self._text
        found = [self._with_short_header(table) for table in tables(text)]
        offsets = [heading.offset for heading in headings]
        spans, done = [], 0
        for table in found:
            if self._fits(text[table.start : table.end]):
                continue
            start = _closing_headings(text, done, table.start, offsets)
            spans += self._prose(splitter, text, done, start, offsets)
            spans += self._rows(text, start, table)
            done = table.end
        spans += self._prose(splitter, text, done, len(text), offsets)
        chunks: list[tuple[int, int]] = []
        for span in self._with_their_headings(text, spans, headings):
            while chunks and chunks[-1][0] >= span[0]:
                chunks.pop()  # this one repeats all of it
            chunks.append(span)
        return [
            Chunk(start, end, trail.above(start), header_above(found, start))
            for start, end in chunks
        ]

    def _prose(
        self,
        splitter: TextSplitter | MarkdownSplitter,
        text: str,
        start: int,
        end: int,
        offsets: list[int],
    ) -> list[tuple[int, int]]:
        """Spans of text[start:end] at the splitter's borders."""
        inside = offsets[bisect_left(offsets, start) : bisect_left(offsets, end)]
        part = text[start:end]
        return [
            (at, at + len(piece))
            for block in _blocks(part, [offset - start for offset in inside])
            for at, piece in self._fit(splitter, part[block], start + block.start)
            if piece.strip()
        ]

    def _rows(self, text: str, start: int, table: Table) -> Iterator[tuple[int, int]]:
        """Spans of a table, with what stands above it from `start` on: as many rows as fit in each.

        All but the first leave room for the table's header.
        """
        bounds = [table.body]
        while bounds[-1] < table.end:
            bounds.append(text.find("\n", bounds[-1], table.end) + 1 or table.end)
        with_header = self._max_tokens - self._tokens(table.header)
        room, at = self._max_tokens - self._tokens(text[start : table.body]), start
        for row, end in pairwise(bounds):
            size = self._tokens(text[row:end])
            if at < row and (size > room or end - at > self._max_characters):
                yield from self._cut(text, at, row, self._max_tokens)
                at, room = row, with_header
            if size > room:  # alone too long
                yield from self._cut(text, at, end, with_header)
                at, room = end, with_header
            else:
                room -= size
        if at < table.end:
            yield from self._cut(text, at, table.end, self._max_tokens)

    def _cut(self, text: str, start: int, end: int, tokens: int) -> Iterator[tuple[int, int]]:
        """text[start:end] as it is where it fits, else cut into spans of that many tokens."""
        piece = text[start:end]
        if len(piece) <= self._max_characters and self._tokens(piece) <= tokens:
            yield start, end
            return
        splitter = TextSplitter.from_callback(self._tokens, tokens)
        for at, part in self._fit(splitter, piece, start):
            yield at, at + len(part)

    def _with_short_header(self, table: Table) -> Table:
        """The table with a header that takes at most half of a chunk."""
        most = self._max_tokens // 2
        if self._tokens(table.header) <= most:
            return table
        splitter = TextSplitter.from_callback(self._tokens, most)
        return table._replace(header=next(iter(splitter.chunks(table.header)), ""))

    def _with_their_headings(
        self, text: str, chunks: list[tuple[int, int]], headings: Sequence[Heading]
    ) -> Iterator[tuple[int, int]]:
        """The spans, with the headings at a chunk's end moved to the next one.

        Where the next has no room for them it is cut anew. Headings that leave no room for a word
        below them stay where they are.
        """
        offsets = [heading.offset for heading in headings]
        left = deque(chunks)
        while left:
            start, end = left.popleft()
            cut = _closing_headings(text, start, end, offsets)
            if cut < end and left:
                below, below_end = left[0]
                anew = [] if below <= cut else self._below(text, cut, below, below_end)
                if anew:
                    left.popleft()
                    left.extendleft(reversed(anew))
                if anew or below <= cut:
                    end = cut
                    if not text[start:end].strip():
                        continue
            yield start, start + len(text[start:end].rstrip())

    def _below(self, text: str, cut: int, below: int, end: int) -> list[tuple[int, int]]:
        """text[below:end] as spans, the first of which begins with the headings at `cut`."""
        if self._fits(text[cut:end]):
            return [(cut, end)]
        room = self._max_tokens - self._tokens(text[cut:below])
        if room < _LEAST_ROOM:
            return []
        splitter = TextSplitter.from_callback(self._tokens, room)
        (_, first), *_ = splitter.chunk_indices(text[below:end])
        middle = below + len(first)
        if not self._fits(text[cut:middle]):
            return []
        rest = [
            (at, at + len(part)) for at, part in self._fit(self._text, text[middle:end], middle)
        ]
        return [(cut, middle), *rest]

    def _fit(
        self, splitter: TextSplitter | MarkdownSplitter, text: str, at: int
    ) -> Iterator[tuple[int, str]]:
        for start, piece in splitter.chunk_indices(text):
            if len(piece) <= self._max_characters:
                yield at + start, piece
                continue
            for inner, part in self._characters.chunk_indices(piece):
                # A run cut shorter can have more tokens: what was one [UNK] becomes known pieces.
                if self._fits(part):
                    yield at + start + inner, part
                else:
                    yield from self._fit(self._text, part, at + start + inner)

    def _fits(self, text: str) -> bool:
        return len(text) <= self._max_characters and self._tokens(text) <= self._max_tokens

    def _tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _blocks(text: str, heading_offsets: list[int]) -> Iterator[slice]:
    """Slices of at most BLOCK_CHARACTERS that cover `text`, each cut at the best border it has."""
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        low, high = start + BLOCK_CHARACTERS // 2, start + BLOCK_CHARACTERS
        end = high
        last = bisect_right(heading_offsets, high) - 1
        if last >= 0 and heading_offsets[last] > low:
            end = heading_offsets[last]
        else:
            for border in _BORDERS:
                if (found := text.rfind(border, low, high)) >= 0:
                    end = found + len(border)
                    break
        yield slice(start, end)
        start = end
    yield slice(start, len(text))


def _closing_headings(text: str, start: int, end: int, offsets: list[int]) -> int:
    """Where the headings begin that text[start:end] ends in; `end` where it ends in none."""
    n = bisect_left(offsets, end)
    while n and offsets[n - 1] >= start:
        _, _, below = text[offsets[n - 1] : end].partition("\n")
        if below.strip():
            break
        n -= 1
        end = offsets[n]
    return end


class _Trail:
    """The open headings at offsets that only grow."""

    def __init__(self, marks: Sequence[Heading]) -> None:
        self._marks = marks
        self._next = 0
        self._open: list[Heading] = []

    def above(self, offset: int) -> str:
        """Headings over `offset`; one that starts just there closes others but is not above it."""
        while self._next < len(self._marks) and self._marks[self._next].offset <= offset:
            mark = self._marks[self._next]
            self._open = [*(m for m in self._open if m.level < mark.level), mark]
            self._next += 1
        return " > ".join(mark.words for mark in self._open if mark.offset < offset)
