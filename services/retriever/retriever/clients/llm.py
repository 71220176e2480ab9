"""The model server: a chat model for LangChain, and what the server tells of itself."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import aiohttp
import orjson
from langchain_core.language_models import BaseChatModel
from opentelemetry.propagate import inject

from bulkhead.errors import InvalidValue, Unavailable, UnknownModel
from retriever.clients.chat_model import ServedChatModel

PART = "llm"
_QUICK = aiohttp.ClientTimeout(total=5.0)  # for what a server knows without thinking
_CONNECT_SECONDS = 5.0

_EXTENDED = ("vllm", "llamacpp")
"""What these servers call themselves in `owned_by`."""
_OPENAI = ("openai", "system")
"""What OpenAI's own models, and gateways to them, have in `owned_by`; some with more after it."""
_NO_CHAT = re.compile(r"embed|rerank|\b(?:bge|gte|e5)\b|minilm|whisper|\btts\b", re.IGNORECASE)
"""Models that do not chat, by their names: a list says nothing else of what a model is for."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server offers; the context length where the server says it."""

    id: str
    context_tokens: int | None
    extended: bool = False
    """Whether it is served by vLLM or llama.cpp, which know more parameters than OpenAI's API."""
    calls_by_schema: bool = False
    """Whether it is served by llama.cpp, which takes `tool_choice: required` and lets its model
    say what it likes (https://github.com/ggml-org/llama.cpp/issues/27217)."""
    salted: bool = False
    """Whether it is served by vLLM, which shares its prompt cache only under the same salt."""
    bound: str = "max_tokens"
    """What the most tokens of an answer are called. OpenAI's newer models refuse this name; Ollama
    and others ignore the newer one, `max_completion_tokens`, and would write on and on."""


class TurnedAway(Unavailable):
    """The server has too much to do (429), or too little time (503)."""

    def __init__(self, message: str, seconds: float) -> None:
        """`seconds`: for how long it asks to be left alone."""
        super().__init__(PART, message)
        self.seconds = seconds


class LLMClient:
    """Talks to an OpenAI-compatible server: vLLM, llama.cpp, or any other."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
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
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(timeout, _CONNECT_SECONDS), sock_read=timeout
        )
        self._default = default
        self._aliases = dict(aliases or {})
        self._served: list[ServedModel] = []

    async def models(self) -> list[ServedModel]:
        """The models on offer, asked anew. Raises `Unavailable("llm")` when nobody answers."""
        status, answer = await self._call("GET", f"{self._base_url}/models")
        if status >= 400:
            raise Unavailable(PART, f"the model server answered {status}")
        try:
            self._served = [_model(told) for told in orjson.loads(answer)["data"] or ()]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unavailable(PART, "what the model server lists cannot be read") from error
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
        return ServedChatModel(model_name=model, ask=self._complete)

    async def count_tokens(self, text: str) -> int:
        """How many tokens the model makes of `text`; for a server without `/tokenize`, a bound.

        vLLM and llama.cpp both serve `/tokenize` beside `/v1` and read different fields of it. The
        bound is the length in UTF-8 bytes: no byte-level tokenizer makes more tokens of it.
        """
        root = self._base_url.removesuffix("/v1")
        body = {"model": (await self.served()).id, "prompt": text, "content": text}
        status, answer = await self._call("POST", f"{root}/tokenize", body)
        if status >= 500:
            raise Unavailable(PART, f"the model server answered {status}")
        try:
            return len(orjson.loads(answer)["tokens"])
        except (ValueError, LookupError, TypeError):  # another's call of this name, or none
            return len(text.encode())

    async def check(self) -> None:
        """Raise `Unavailable` unless the server answers within two seconds."""
        try:
            await asyncio.wait_for(self.models(), 2.0)
        except TimeoutError as error:
            raise Unavailable(PART, "the model server does not answer (timeout)") from error

    async def _call(
        self, method: str, url: str, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """A short call: the status and the body of the reply."""
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._http.request(
                method, url, data=data, headers=self._headers, timeout=_QUICK
            ) as reply:
                return reply.status, await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _silent(error) from error

    async def _complete(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """The reads of a streamed completion, each all that has come.

        Raises `InvalidValue` where the server refuses the request, and else `Unavailable("llm")`.
        """
        headers = dict(self._headers)
        inject(headers)  # the trace and its baggage go along
        try:
            async with self._http.post(
                f"{self._base_url}/chat/completions",
                data=orjson.dumps(body),
                headers=headers,
                timeout=self._timeout,
            ) as reply:
                if reply.status in (400, 422):  # what it says of the request's own parameters
                    words = _message(await reply.read())
                    raise InvalidValue(f"the model server refused the request: {words}")
                if reply.status in (429, 503):
                    told = reply.headers.get("retry-after", "")
                    seconds = float(told) if told.isdecimal() else 0.0
                    raise TurnedAway(f"the model server answered {reply.status}", seconds)
                if reply.status >= 400:
                    raise Unavailable(PART, f"the model server answered {reply.status}")
                async for read in reply.content.iter_any():
                    yield read
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _silent(error) from error


def _silent(error: Exception) -> Unavailable:
    return Unavailable(PART, f"the model server does not answer ({type(error).__name__})")


def _message(body: bytes) -> str:
    """The words of an error in OpenAI's shape, in older servers' flat one, or of any other, the
    beginning."""
    try:
        told = orjson.loads(body)
        return str(told.get("error", told)["message"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return body[:200].decode(errors="replace")


def _model(told: dict[str, Any]) -> ServedModel:
    """A model as a server lists it. Raises `LookupError` and the like for what is none."""
    owner = str(told.get("owned_by"))
    return ServedModel(
        id=str(told["id"]),
        context_tokens=told.get("max_model_len") or _n_ctx(told),
        extended=owner in _EXTENDED,
        calls_by_schema=owner == "llamacpp",
        salted=owner == "vllm",
        bound="max_completion_tokens" if owner.startswith(_OPENAI) else "max_tokens",
    )


def _n_ctx(model: dict[str, object]) -> int | None:
    """llama.cpp's way to say how long the context is."""
    meta = model.get("meta")
    n_ctx = meta.get("n_ctx") if isinstance(meta, dict) else None
    return n_ctx if isinstance(n_ctx, int) else None
