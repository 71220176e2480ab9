"""An OpenAI-compatible server that says what a test tells it to, where exact words matter."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

CONTEXT_TOKENS = 4096


class ScriptedLLM:
    """Streams `words` one by one. `hold` set to an event stops the stream before the last word."""

    def __init__(self) -> None:
        self.words: list[str] = ["The", " answer."]
        self.status = 200
        self.break_after: int | None = None
        self.hold = False
        self.requests: list[dict[str, Any]] = []
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.app = FastAPI()
        self.app.get("/v1/models")(self._models)
        self.app.post("/v1/chat/completions")(self._chat)
        self.app.post("/tokenize")(self._tokenize)

    def say(self, text: str) -> None:
        """Answer with `text`, cut into pieces of three characters as tokens may be."""
        self.words = [text[i : i + 3] for i in range(0, len(text), 3)]

    async def _models(self) -> dict[str, Any]:
        model = {"id": "scripted", "object": "model", "max_model_len": CONTEXT_TOKENS}
        return {"object": "list", "data": [model]}

    async def _tokenize(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        return {"tokens": [0] * len(body["prompt"].split())}

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if self.status != 200:
            return JSONResponse({"error": {"message": "told to fail"}}, self.status)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        self.began.set()
        try:
            for n, word in enumerate(self.words):
                if self.break_after == n:
                    raise RuntimeError("told to break")
                if self.hold and n == len(self.words) - 1:
                    await asyncio.Event().wait()
                yield _chunk([{"index": 0, "delta": {"role": "assistant", "content": word}}])
            yield _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            usage = {"prompt_tokens": 7, "completion_tokens": len(self.words), "total_tokens": 0}
            yield _chunk([], usage=usage)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def _chunk(choices: list[dict[str, Any]], **extra: Any) -> str:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return f"data: {json.dumps({**chunk, 'choices': choices, **extra})}\n\n"
