"""What the model reads: a fixed prefix, the sources in a stable order, the question last."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from bulkhead.errors import InvalidValue
from retriever.agent.untrusted import clean
from retriever.branding.answers import Answers

# What a chat template adds a message: role and delimiters; 8 bounds those of Qwen, Llama, SmolLM.
_TOKENS_A_MESSAGE = 8

_FENCE = re.compile(r"<(?=\s*+/?\s*+source\b)", re.IGNORECASE)

CountTokens = Callable[[str], Awaitable[int]]


def render(
    question: str,
    sources: Sequence[Document],
    history: Sequence[BaseMessage],
    words: Answers,
    mark: str = "",
    rules: str = "",
    before: str = "",
) -> list[BaseMessage]:
    """The messages for the model: one system message, then user and assistant by turns.

    The caller's `rules` stand after ours; `before` is what the user said just before the question.
    Sources stand in a fence whose own words inside them are broken up. With a `mark`, which whoever
    wrote the sources could not know, it is said where they end; after them, so that prompts over
    the same sources still share a prefix. Without one the same question makes the same prompt.
    """
    return words.template.format_messages(
        rules=f"{words.system}\n\n{rules}" if rules else words.system,
        before=f"{before}\n\n" if before else "",
        sources="\n\n".join(_fenced(source) for source in sources),
        end=f"{words.prompt.end.format(mark=mark)}\n\n" if sources and mark else "",
        question=question,
        history=list(history),
    )


async def fit(
    question: str,
    sources: Sequence[Document],
    history: Sequence[BaseMessage],
    limit: int,
    count: CountTokens,
    words: Answers,
    mark: str = "",
    rules: str = "",
    before: str = "",
) -> tuple[list[BaseMessage], list[Document]]:
    """The messages within `limit` tokens, and the sources that are in them.

    `sources` come best first. What does not fit goes in this order: the oldest turns of the
    conversation, a question with its answer at a time, what was said just `before`, then the
    sources from the worst. Raises `InvalidValue` when the question alone is too long. They are put
    before the model in the documents' own order, so that questions over the same sources share a
    prefix.
    """

    turns = len(history) // 2 + bool(before)

    def without(dropped: int) -> tuple[list[BaseMessage], list[Document]]:
        kept = list(sources)[: len(sources) - max(0, dropped - turns)]
        said = before if dropped < turns or not before else ""
        left = history[2 * dropped :]
        return render(question, in_document_order(kept), left, words, mark, rules, said), kept

    async def fits(messages: list[BaseMessage]) -> bool:
        return await _tokens(messages, limit, count) <= limit

    # In a thread, as what others wrote is cleaned there, of a hundred sources.
    messages, kept = await asyncio.to_thread(without, 0)
    if await fits(messages):
        return messages, kept
    least, most = 1, turns + max(0, len(sources) - 1)
    messages, kept = await asyncio.to_thread(without, most)
    if not await fits(messages):
        raise InvalidValue(f"the question with one source does not fit the model's {limit} tokens")
    while least < most:  # bisected: each look at a long conversation costs a call
        middle = (least + most) // 2
        tried = await asyncio.to_thread(without, middle)
        if await fits(tried[0]):
            most, (messages, kept) = middle, tried
        else:
            least = middle + 1
    return messages, kept


def in_document_order(sources: Sequence[Document]) -> list[Document]:
    """The sources by document and position, whatever their rank."""
    return sorted(sources, key=lambda d: (d.metadata["document_id"], d.metadata["start"]))


async def _tokens(messages: Sequence[BaseMessage], limit: int, count: CountTokens) -> int:
    """Tokens of the messages; asked of the model server only when bytes do not settle it.

    A byte-level tokenizer never makes more tokens than there are UTF-8 bytes.
    """
    text = "\n".join(str(message.content) for message in messages)
    frame = _TOKENS_A_MESSAGE * len(messages)
    bound = len(text.encode()) + frame
    return bound if bound <= limit else await count(text) + frame


def _fenced(source: Document) -> str:
    """A source inside its fence; the fence's own words inside it are broken up."""
    about, header = source.metadata, source.metadata.get("table_header")
    above = f"{about['title']}\n{header}" if header else about["title"]
    inside = clean(f"{above}\n{source.page_content}")
    return f"<source>\n{_FENCE.sub('[', inside)}\n</source>"
