"""Chunking in processes: a block of text holds Python's lock for tens of milliseconds."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from bulkhead.workers import WorkerPool
from retriever.ingest.chunk import Chunk, Chunker
from retriever.ingest.chunkers import Own, Split
from retriever.parsed import Heading

_SECONDS = 300.0  # the longest text that a parser gives takes some 80 s
_MEMORY_BYTES = 1024 * 2**20  # an idle worker has 120 MiB of address space, that text took 290


class ChunkerPool:
    """A pool of processes that chunk, for one event loop. They start with the first text."""

    def __init__(
        self,
        tokenizer_json: str,
        max_tokens: int,
        overlap_tokens: int = 0,
        processes: int = 1,
        chunker: str = "",
    ) -> None:
        """`tokenizer_json`: text of the embedding model's tokenizer.json; the rest is Chunker's.

        `chunker` names another package's, in place of ours. Raises ValueError on a tokenizer,
        limits or a chunker that cannot work.
        """
        told = (tokenizer_json, max_tokens, overlap_tokens, chunker)
        _chunker(*told)
        self._workers: WorkerPool[list[Chunk]] = WorkerPool(
            _split,
            setup=_start_worker,
            told=told,
            max_workers=processes,
            seconds=_SECONDS,
            memory_bytes=_MEMORY_BYTES,
        )

    async def split(self, text: str, headings: Sequence[Heading], markdown: bool) -> list[Chunk]:
        """As `Chunker.split`; raises what `WorkerPool.run` does, and `BadChunks`."""
        return await self._workers.run(text, headings, markdown)

    def close(self) -> None:
        """End every process at once."""
        self._workers.close()


def _chunker(tokenizer_json: str, max_tokens: int, overlap_tokens: int, named: str) -> Split:
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # the tokenizers library raises no narrower type
        raise ValueError(f"not a tokenizer.json: {error}") from error
    ours = Chunker(tokenizer, max_tokens, overlap_tokens)
    return Own(named, tokenizer, max_tokens, overlap_tokens).split if named else ours.split


# What follows runs in a worker.

_own: Split | None = None


def _start_worker(tokenizer_json: str, max_tokens: int, overlap_tokens: int, named: str) -> None:
    global _own
    _own = _chunker(tokenizer_json, max_tokens, overlap_tokens, named)


def _split(text: str, headings: Sequence[Heading], markdown: bool) -> list[Chunk]:
    assert _own is not None
    return _own(text, headings, markdown)
