"""What vLLM makes of our prompts: its prefix cache by layout, and what the stack costs beside it.

It needs a retriever whose model server is the vLLM named, with the collection ingested.

    python -m bench.vllm prefix --vllm http://127.0.0.1:8000 --data ../shared/data/squad
    python -m bench.vllm cost --vllm http://127.0.0.1:8000 --data ../shared/data/squad
"""

import asyncio
import itertools
import os
import random
import re
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import orjson
import typer
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from rich.console import Console
from rich.table import Table

from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write
from retriever.answer.prompt import in_document_order, render
from retriever.branding.branding import packaged

TOP_K = 2
_HITS = re.compile(r"^vllm:prefix_cache_(hits|queries)_total\S* (\S+)$", re.MULTILINE)

_Url = Annotated[str, typer.Option(help="The retriever's address.")]
_KeyFile = Annotated[Path, typer.Option(help="File that holds the API key.")]
_KEY_FILE = Path(".data/api-key")

_Vllm = Annotated[str, typer.Option("--vllm", help="vLLM's address, without /v1.")]
_Data = Annotated[Path, typer.Option(help="A BEIR folder whose documents are ingested.")]
_Out = Annotated[Path | None, typer.Option(help="Write the result as JSON.")]

app = typer.Typer(pretty_exceptions_show_locals=False)
Layout = Callable[[str, Sequence[Document]], list[BaseMessage]]


def _ours(question: str, found: Sequence[Document]) -> list[BaseMessage]:
    return render(question, in_document_order(found), [], packaged().answers)


def _by_rank(question: str, found: Sequence[Document]) -> list[BaseMessage]:
    return render(question, found, [], packaged().answers)


def _question_first(question: str, found: Sequence[Document]) -> list[BaseMessage]:
    system, human = render(question, in_document_order(found), [], packaged().answers)
    sources, asked = str(human.content).rsplit("\n\n", 1)
    return [system, human.model_copy(update={"content": f"{asked}\n\n{sources}"})]


LAYOUTS: dict[str, Layout] = {
    "sources in document order, question last (ours)": _ours,
    "sources by rank, question last": _by_rank,
    "question first": _question_first,
}


@dataclass
class Spoken:
    """One streamed answer: seconds to the first token and to the end, and its tokens."""

    first: float
    whole: float
    tokens: int


class Vllm:
    """The server itself, without a retriever before it."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def model(self) -> str:
        """The model that it serves."""
        async with self._http.get(f"{self._url}/v1/models") as reply:
            return str(orjson.loads(await reply.read())["data"][0]["id"])

    async def cache(self) -> dict[str, float]:
        """Tokens looked up in the prefix cache since its start, and those that were found."""
        async with self._http.get(f"{self._url}/metrics") as reply:
            return {kind: float(value) for kind, value in _HITS.findall(await reply.text())}

    async def ask(
        self, model: str, messages: list[BaseMessage], salt: str, max_tokens: int
    ) -> Spoken:
        """An answer; prompts share cached prefixes with those of the same salt alone."""
        body = {
            "model": model,
            "messages": convert_to_openai_messages(messages),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stop": packaged().answers.stop,
            "cache_salt": salt,
        }
        return await streamed(self._http, self._url, body, {})


async def streamed(
    http: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]
) -> Spoken:
    """A streamed chat completion, read to its end."""
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    started, first, tokens = time.perf_counter(), None, 0
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as reply:
        if reply.status != 200:
            raise typer.BadParameter(f"{url} answered {reply.status}: {await reply.text()}")
        async for line in reply.content:
            if not line.startswith(b"data: {"):
                continue
            chunk = orjson.loads(line[6:])
            if any(choice["delta"].get("content") for choice in chunk["choices"]):
                first = first or time.perf_counter() - started
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    whole = time.perf_counter() - started
    return Spoken(first or whole, whole, tokens)


async def found(client: RetrieverClient, question: str) -> list[Document]:
    """What the retriever would show the model, best first."""
    reply = await client.search({"query": question, "top_k": TOP_K})
    return [
        Document(
            page_content=result.text,
            metadata={
                "document_id": result.document_id,
                "start": result.start,
                "title": result.title,
            },
        )
        for result in reply.results
    ]


def _grouped(dataset: Dataset, documents: int) -> tuple[list[str], list[str]]:
    """Two lists of questions about the same documents, each shuffled in its own way."""
    about: dict[str, list[str]] = {}
    for query_id, query in dataset.queries.items():
        for document in dataset.relevant(query_id):
            about.setdefault(document, []).append(query.text)
    groups = [asked[:4] for asked in about.values() if len(asked) >= 4]
    chosen = random.Random(1).sample(groups, min(documents, len(groups)))  # noqa: S311 - no secret
    passes = (
        [text for asked in chosen for text in asked[:2]],
        [text for asked in chosen for text in asked[2:]],
    )
    for seed, texts in enumerate(passes):
        random.Random(seed).shuffle(texts)  # noqa: S311 - no secret
    return passes


async def _prefix(url: str, key: str, vllm_url: str, data: Path, documents: int) -> dict[str, Any]:
    first, second = _grouped(load(data), documents)
    rates: dict[str, Any] = {}
    timeout = aiohttp.ClientTimeout(600)
    async with (
        RetrieverClient(url, key) as client,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        vllm = Vllm(http, vllm_url)
        model = await vllm.model()
        shown = {text: await found(client, text) for text in (*first, *second)}
        for name, layout in LAYOUTS.items():
            salt = uuid.uuid4().hex
            rates[name] = {}
            for number, texts in (("first", first), ("second", second)):
                before, took = await vllm.cache(), []
                for text in texts:
                    messages = layout(text, shown[text])
                    took.append((await vllm.ask(model, messages, salt, 1)).first)
                after = await vllm.cache()
                looked = after["queries"] - before["queries"]
                rates[name][number] = {
                    "hit_rate": (after["hits"] - before["hits"]) / looked,
                    "tokens": looked / len(texts),
                    "first_token_p50": statistics.median(took) * 1000,
                }
    return rates


@app.command()
def prefix(
    vllm: _Vllm,
    data: _Data,
    documents: Annotated[int, typer.Option(help="Documents that are asked about.")] = 20,
    url: _Url = "http://127.0.0.1:8080",
    key_file: _KeyFile = _KEY_FILE,
    out: _Out = None,
) -> None:
    """Share of the prompts' tokens that vLLM has in its prefix cache, by layout.

    Two questions about each document come first, in any order, then two others in another.
    """
    rates = asyncio.run(
        _prefix(url, key_file.read_text(encoding="utf-8").strip(), vllm, data, documents)
    )
    table = Table(
        title=f"prefix cache: {2 * documents} questions about {documents} documents, twice"
    )
    for column in ("layout", "tokens", "hits, first", "hits, second", "first token p50, ms"):
        table.add_column(column, justify="left" if column == "layout" else "right")
    for name, one in rates.items():
        table.add_row(
            name,
            f"{one['second']['tokens']:.0f}",
            f"{one['first']['hit_rate']:.1%}",
            f"{one['second']['hit_rate']:.1%}",
            f"{one['second']['first_token_p50']:.0f}",
        )
    _show(table, rates, out)


async def _cost(
    url: str, key: str, vllm_url: str, dataset: Dataset, levels: list[int], count: int, tokens: int
) -> dict[str, Any]:
    texts = itertools.cycle(query.text for query in dataset.queries.values())
    results: dict[str, Any] = {}
    timeout = aiohttp.ClientTimeout(600)
    async with (
        RetrieverClient(url, key) as client,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        vllm = Vllm(http, vllm_url)
        model = await vllm.model()

        async def through(text: str) -> Spoken:
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": tokens}
            return await streamed(http, url, body, {"Authorization": f"Bearer {key}"})

        for level in levels:
            asked = [next(texts) for _ in range(count)]  # other ones at each level: none is cached
            shown = {text: await found(client, text) for text in asked}
            salt = uuid.uuid4().hex

            async def direct(text: str, shown: Any = shown, salt: str = salt) -> Spoken:
                return await vllm.ask(model, _ours(text, shown[text]), salt, tokens)

            for name, call in (("vLLM", direct), ("the stack", through)):
                started = time.perf_counter()
                spoken = await _by_clients(level, asked, call)
                seconds = time.perf_counter() - started
                results[f"{name}, {level} clients"] = {
                    "requests_a_second": count / seconds,
                    "tokens_a_second": sum(one.tokens for one in spoken) / seconds,
                    "first_p50": statistics.median(one.first for one in spoken) * 1000,
                    "token_p50": statistics.median(
                        (one.whole - one.first) / (one.tokens - 1) * 1000
                        for one in spoken
                        if one.tokens > 1
                    ),
                }
    return results


async def _by_clients(number: int, texts: Sequence[str], call: Any) -> list[Spoken]:
    left, spoken = iter(texts), []

    async def client() -> None:
        for text in left:
            spoken.append(await call(text))

    await asyncio.gather(*(client() for _ in range(number)))
    return spoken


@app.command()
def cost(
    vllm: _Vllm,
    data: _Data,
    clients: Annotated[str, typer.Option(help="Clients at once, round by round.")] = "1,4,8",
    count: Annotated[int, typer.Option("--questions", help="Questions of a round.")] = 24,
    tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 48,
    url: _Url = "http://127.0.0.1:8080",
    key_file: _KeyFile = _KEY_FILE,
    out: _Out = None,
) -> None:
    """The same prompts to vLLM itself, and as questions to the stack before it."""
    levels = [int(level) for level in clients.split(",")]
    arguments = (
        url,
        key_file.read_text(encoding="utf-8").strip(),
        vllm,
        load(data),
        levels,
        count,
        tokens,
    )
    results = asyncio.run(_cost(*arguments))
    table = Table(title=f"{count} questions a round, at most {tokens} tokens each")
    for column in ("asked", "requests/s", "tokens/s", "first token p50, ms", "a token p50, ms"):
        table.add_column(column, justify="left" if column == "asked" else "right")
    for name, one in results.items():
        table.add_row(name, *(f"{value:.2f}" for value in one.values()))
    _show(table, results, out)


def _show(table: Table, results: dict[str, Any], out: Path | None) -> None:
    console = Console()
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if out is not None:
        write(out, {"provenance": provenance(), **results})


if __name__ == "__main__":
    app()
