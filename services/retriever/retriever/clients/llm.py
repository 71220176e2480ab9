"""The model server: LangChain's `ChatOpenAI`, and what it tells of itself."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx2
import openai
import orjson
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from opentelemetry.propagate import inject
from pydantic import SecretStr

from bulkhead.errors import Unavailable, UnknownModel
from retriever.clients.joined import JoinedEvents

PART = "llm"

_EXTENDED = ("vllm", "llamacpp")
"""What these servers call themselves in `owned_by`."""
_NO_CHAT = re.compile(r"embed|rerank|\b(?:bge|gte|e5)\b|minilm|whisper|\btts\b", re.IGNORECASE)
"""Models that do not chat, by their names: a list says nothing else of what a model is for."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server offers; the context length where the server says it."""

    id: str
    context_tokens: int | None
    extended: bool = False
    """Whether it is served by vLLM or llama.cpp, which know more parameters than OpenAI's API."""


class _PlainChunks(openai.AsyncOpenAI):
    """OpenAI's client, whose streams bring each chunk as the dictionary that it came as.

    It would make each into an object, which LangChain turns into a dictionary again at once: with
    hundreds of streams that was a third of the retriever's time.
    """

    def _make_sse_decoder(self) -> JoinedEvents:
        return JoinedEvents()

    def _process_response_data(self, *, data: object, cast_to: Any, response: Any) -> Any:
        if cast_to is ChatCompletionChunk and isinstance(data, dict):
            return data
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)


class _Completions:
    """What LangChain calls of OpenAI's client: `create`, with its parameters as they are.

    OpenAI's own walks through the types of all of them, for names that other calls spell in two
    ways. It changes nothing here and takes nearly half of the call's time
    (docs/performance.md).
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def create(self, **parameters: Any) -> Any:
        """The reply, or with `stream` its chunks. Raises `openai.OpenAIError`."""
        more = parameters.pop("extra_body", {})
        return await self._client.post(
            "/chat/completions",
            body={**parameters, **more},
            cast_to=ChatCompletion,
            stream=bool(parameters.get("stream")),
            stream_cls=openai.AsyncStream[ChatCompletionChunk],
        )


def http_client(connections: int, idle_seconds: float) -> httpx2.AsyncClient:
    """OpenAI's client over aiohttp, whose parser is C and which gives all that has come at once.

    Over httpx's own transport a streamed token takes the retriever a quarter more time, and each
    token is a read of its own, however late it is (docs/performance.md).
    """
    return openai.DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=idle_seconds,
        ),
        event_hooks={"request": [_traced]},
    )


async def _traced(request: httpx2.Request) -> None:
    """Hand the trace and its baggage on."""
    inject(request.headers)
    await asyncio.sleep(0)  # building a request takes a millisecond; others have a turn before more


class LLMClient:
    """Talks to an OpenAI-compatible server: vLLM, llama.cpp, or any other."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        base_url: str,
        api_key: str,
        timeout: float,
        default: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """`base_url` ends in `/v1`; `timeout` bounds each silence of the server, in seconds.

        `default` is the model for requests that name none; `aliases` maps names that clients send
        to models on offer, `*` all that are not known.
        """
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"}
        self._api_key = api_key
        self._timeout = timeout
        self._default = default
        self._aliases = dict(aliases or {})
        self._served: list[ServedModel] = []
        self._chat_models: dict[str, BaseChatModel] = {}

    async def models(self) -> list[ServedModel]:
        """The models on offer, asked anew. Raises `Unavailable("llm")` when nobody answers."""
        try:
            answer = await self._http.get(
                f"{self._base_url}/models", headers=self._headers, timeout=5.0
            )
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise Unavailable(PART, f"the model server does not answer ({_name(error)})") from error
        self._served = [
            ServedModel(
                model["id"],
                model.get("max_model_len") or _n_ctx(model),
                model.get("owned_by") in _EXTENDED,
            )
            for model in orjson.loads(answer.content)["data"]
        ]
        if not self._served:
            raise Unavailable(PART, "the model server has no model loaded")
        return self._served

    async def served(self, name: str | None = None) -> ServedModel:
        """The model of that name, or the default one, as they were when last asked for.

        Raises `UnknownModel`.
        """
        known = self._named(name, self._served) if self._served else None
        return known or self._named(name, await self.models()) or self._unknown(name)

    def _named(self, name: str | None, served: Sequence[ServedModel]) -> ServedModel | None:
        """The model that `name` stands for among `served`."""
        by_id = {model.id: model for model in served}
        if not (name or self._default):
            return next((m for m in served if not _NO_CHAT.search(m.id)), served[0])
        for wanted in (
            name or self._default,
            self._aliases.get(name or ""),
            self._aliases.get("*"),
        ):
            if wanted in by_id:
                return by_id[wanted]
        return None

    def _unknown(self, name: str | None) -> NoReturn:
        wanted = name or self._default
        raise UnknownModel(
            f"the model {wanted[:200]!r} is not here; GET /v1/models lists those that are"
        )

    def chat_model(self, model: str) -> BaseChatModel:
        """A LangChain chat model for `model`. It does not retry: a stream cannot be begun twice."""
        if model not in self._chat_models:  # making one takes longer than a search
            client = _PlainChunks(
                base_url=self._base_url,
                api_key=self._api_key,
                http_client=self._http,
                timeout=self._timeout,
                max_retries=0,
            )
            self._chat_models[model] = ChatOpenAI(
                model=model,
                base_url=self._base_url,
                api_key=SecretStr(self._api_key),
                async_client=_Completions(client),
                root_async_client=client,
                max_retries=0,
                stream_usage=True,
                stream_chunk_timeout=None,  # a task for each chunk; HTTP's timeout bounds silences
                temperature=0,
            )
        return self._chat_models[model]

    async def count_tokens(self, text: str) -> int:
        """How many tokens the model makes of `text`; for a server without `/tokenize`, a bound.

        vLLM and llama.cpp both serve `/tokenize` beside `/v1` and read different fields of it. The
        bound is the length in UTF-8 bytes: no byte-level tokenizer makes more tokens of it.
        """
        root = self._base_url.removesuffix("/v1")
        body = {"model": (await self.served()).id, "prompt": text, "content": text}
        try:
            answer = await self._http.post(
                f"{root}/tokenize", json=body, headers=self._headers, timeout=5.0
            )
        except httpx2.HTTPError as error:
            raise Unavailable(PART, f"the model server does not answer ({_name(error)})") from error
        if answer.status_code in (404, 405):
            return len(text.encode())
        if answer.is_error:
            raise Unavailable(PART, f"the model server answered {answer.status_code}")
        return len(orjson.loads(answer.content)["tokens"])

    async def check(self) -> None:
        """Raise `Unavailable` unless the server answers within two seconds."""
        try:
            await asyncio.wait_for(self.models(), 2.0)
        except TimeoutError as error:
            raise Unavailable(PART, "the model server does not answer (timeout)") from error


def _n_ctx(model: dict[str, object]) -> int | None:
    """llama.cpp's way to say how long the context is."""
    meta = model.get("meta")
    n_ctx = meta.get("n_ctx") if isinstance(meta, dict) else None
    return n_ctx if isinstance(n_ctx, int) else None


def _name(error: Exception) -> str:
    return type(error).__name__
