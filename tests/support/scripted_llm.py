"""An OpenAI-compatible server that says what a test tells it to, where exact words matter."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

CONTEXT_TOKENS = 4096


@dataclass
class Turn:
    """What the model does in one turn: words, then tool calls as a name and raw arguments."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)


Script = Callable[[dict[str, Any]], Turn]
"""Decides on a turn, from the request."""


class ScriptedLLM:
    """Streams `words` one by one. While `hold` is set, a stream stops before its last word.

    With a `script`, each request is answered by the turn that it gives.
    """

    def __init__(self) -> None:
        self.script: Script | None = None
        self.words: list[str] = ["The", " answer."]
        self.status = 200
        self.break_after: int | None = None
        self.odds: dict[str, float] | None = None
        """Log-probabilities of the first word, for who asks for them without a stream."""
        self.raw: bytes | None = None
        """What a stream is instead of words, whatever that may be."""
        self.owner = ""
        """Who serves it, by its own words."""
        self.hold = False
        self.pause = 0.0
        """Seconds between words; words that come at once may be handed on as one."""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        """Those of each request for an answer."""
        self.listed = 0
        """How often its models were asked for."""
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.app = FastAPI()
        self.app.get("/v1/models")(self._models)
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/tokenize")(self._tokenize)

    def play(self, *turns: Turn) -> None:
        """Take these turns one after the other, then say that it is done."""
        left = list(turns)
        self.script = lambda _: left.pop(0) if left else Turn("Done.")

    def say(self, text: str) -> None:
        """Answer with `text`, cut into pieces of three characters as tokens may be."""
        self.words = _pieces(text)

    async def _models(self) -> dict[str, Any]:
        self.listed += 1
        model = {"id": "scripted", "object": "model", "max_model_len": CONTEXT_TOKENS}
        model |= {"owned_by": self.owner} if self.owner else {}
        return {"object": "list", "data": [model]}

    async def _tokenize(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        return {"tokens": [0] * len(body["prompt"].split())}

    async def chat(self, request: Request) -> Response:
        """What it does at `/v1/chat/completions`."""
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        if self.status != 200:
            return JSONResponse({"error": {"message": "told to fail"}}, self.status)
        turn = self.script(body) if self.script is not None else None
        if not body.get("stream"):
            words = "".join(self.words) if turn is None else turn.text
            message = {"role": "assistant", "content": words}
            choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
            if body.get("logprobs") and self.odds is not None:
                top = [{"token": word, "logprob": odds} for word, odds in self.odds.items()]
                choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
            return JSONResponse({"id": "x", "object": "chat.completion", "choices": [choice]})
        return StreamingResponse(self._stream(turn), media_type="text/event-stream")

    async def _stream(self, turn: Turn | None) -> AsyncIterator[str | bytes]:
        self.began.set()
        if self.raw is not None:
            yield self.raw
            return
        words = self.words if turn is None else _pieces(turn.text)
        calls = [] if turn is None else turn.calls
        try:
            for n, word in enumerate(words):
                if self.break_after == n:
                    raise RuntimeError("told to break")
                while self.hold and n == len(words) - 1:  # noqa: ASYNC110 - a thread unsets it
                    await asyncio.sleep(0.01)
                yield _chunk([{"index": 0, "delta": {"role": "assistant", "content": word}}])
                await asyncio.sleep(self.pause)
            for index, (name, arguments) in enumerate(calls):
                for delta in _call(index, name, arguments):
                    yield _chunk([{"index": 0, "delta": {"tool_calls": [delta]}}])
            reason = "tool_calls" if calls else "stop"
            yield _chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
            usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 0}
            yield _chunk([], usage=usage)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def obedient(begin: Turn) -> Script:
    """A model that does as anyone says: it begins with `begin`, then obeys all that it reads.

    `DO: tool {arguments}` is a call, `SAY: words` goes into the answer. It reads what people
    cannot see, too: invisible characters are dropped and Unicode tags are read as letters.
    """
    obeyed: set[str] = set()
    began = False

    def script(body: dict[str, Any]) -> Turn:
        nonlocal began
        if not began:
            began = True
            if begin.calls:
                return begin
        prompt = json.dumps(body.get("tools", []), ensure_ascii=False)
        prompt += "\n".join(
            str(message["content"])
            for message in body["messages"]
            if message["role"] != "assistant"
        )
        prompt = "".join(
            chr(ord(c) - 0xE0000) if 0xE0000 < ord(c) < 0xE007F else c
            for c in prompt
            if c not in "\u200b\u200c\u200d\u2060\ufeff\u00ad"
        )
        new = [order for order in _DO.findall(prompt) if "".join(order) not in obeyed]
        obeyed.update("".join(order) for order in new)
        if new:
            return Turn(calls=[(name, arguments) for name, arguments in new])
        first = [] if begin.calls else [begin.text]
        return Turn(" ".join([*first, *_SAY.findall(prompt), "That is all."]))

    return script


_DO = re.compile(r"DO: ?(\S+) (\{.*\})")
_SAY = re.compile(r"SAY: ?(.*)")


def _pieces(text: str) -> list[str]:
    return [text[i : i + 3] for i in range(0, len(text), 3)]


def _call(index: int, name: str, arguments: str) -> list[dict[str, Any]]:
    """A tool call as it streams: the name first, the arguments in pieces."""
    head = {"name": name, "arguments": ""}
    size = min(max(len(arguments) // 2, 1), 1000)
    pieces = [arguments[i : i + size] for i in range(0, len(arguments), size)]
    return [
        {"index": index, "id": f"model-{index}", "type": "function", "function": head},
        *({"index": index, "function": {"arguments": piece}} for piece in pieces),
    ]


def _chunk(choices: list[dict[str, Any]], **extra: Any) -> str:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return f"data: {json.dumps({**chunk, 'choices': choices, **extra})}\n\n"
