"""Model servers that are no vLLM and no llama.cpp, as they behave towards who asks them: what they
list, what they leave out of a stream, what they refuse, and in which words."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse


class ModelServer:
    """What they have in common. `answer` is what is written; `requests` what was asked."""

    def __init__(self, answer: str, *models: dict[str, Any]) -> None:
        self.answer = answer
        self.models = list(models)
        self.requests: list[dict[str, Any]] = []
        self.app = FastAPI()
        self.app.get("/v1/models")(self.listed)
        self.app.post("/v1/chat/completions")(self.chat)

    async def listed(self) -> dict[str, Any]:
        """The list of models."""
        return {"object": "list", "data": self.models or None}

    async def chat(self, request: Request) -> Response:
        """An answer, or what is wrong with the question."""
        body = await request.json()
        self.requests.append(body)
        if refusal := self.refusal(request, body):
            return refusal
        return StreamingResponse(self._written(body), media_type="text/event-stream")

    async def _written(self, body: dict[str, Any]) -> AsyncIterator[str]:
        pieces = [self.answer[n : n + 5] for n in range(0, len(self.answer), 5)]
        for chunk in self.chunks(body, pieces):
            yield chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    def refusal(self, request: Request, body: dict[str, Any]) -> Response | None:
        """Why it does not answer, where it does not."""
        return None

    def chunks(self, body: dict[str, Any], pieces: list[str]) -> list[dict[str, Any] | str]:
        """The stream, as chunks or as it goes over the wire."""
        raise NotImplementedError


class Ollama(ModelServer):
    """Lists models that embed, too, and null where it has none; knows `max_tokens` only; counts
    for nobody who did not ask for it; writes 404 in plain text for what it does not know."""

    def __init__(self, answer: str) -> None:
        made = {"object": "model", "created": 1760000000, "owned_by": "library"}
        names = ("nomic-embed-text:latest", "llama3.2:latest")
        super().__init__(answer, *({"id": name, **made} for name in names))
        self.app.add_api_route("/{path:path}", self._unknown, methods=["GET", "POST"])

    async def _unknown(self, path: str) -> Response:
        return PlainTextResponse("404 page not found", 404)

    def refusal(self, request: Request, body: dict[str, Any]) -> Response | None:
        if body["model"] in [model["id"] for model in self.models]:
            return None
        message = f'model "{body["model"]}" not found, try pulling it first'
        error = {"message": message, "type": "not_found_error", "param": None, "code": None}
        return JSONResponse({"error": error}, 404)

    def chunks(self, body: dict[str, Any], pieces: list[str]) -> list[dict[str, Any] | str]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000}
        head |= {"model": body["model"], "system_fingerprint": "fp_ollama"}
        most = body.get("max_tokens", 10**6)

        def chunk(words: str, reason: str | None = None) -> dict[str, Any]:
            delta = {"role": "assistant", "content": words}
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

        written = pieces[:most]
        return [
            *map(chunk, written),
            chunk("", "stop" if len(written) == len(pieces) else "length"),
        ]


class LiteLLM(ModelServer):
    """Asks for its key; has names of its own for models of others; puts the usage beside a choice
    that says nothing; writes numbers and nulls of its errors as text."""

    def __init__(self, answer: str) -> None:
        made = {"object": "model", "created": 1677610602, "owned_by": "openai"}
        names = ("team/gpt", "text-embedding-3-small")
        super().__init__(answer, *({"id": name, **made} for name in names))
        self.key = "sk-of-the-gateway"
        self.breaks = False
        """It ends in an error of the server behind it."""

    def refusal(self, request: Request, body: dict[str, Any]) -> Response | None:
        if request.headers["authorization"] != f"Bearer {self.key}":
            error = {"message": "Authentication Error", "type": "auth_error", "param": "None"}
            return JSONResponse({"error": {**error, "code": "401"}}, 401)
        if "max_tokens" in body:
            words = "litellm.BadRequestError: OpenAIException - Unsupported parameter: 'max_tokens'"
            error = {"message": words, "type": "None", "param": "None", "code": "400"}
            return JSONResponse({"error": error}, 400)
        return None

    def chunks(self, body: dict[str, Any], pieces: list[str]) -> list[dict[str, Any] | str]:
        head = {"id": "chatcmpl-2", "created": 1, "model": "gpt", "object": "chat.completion.chunk"}

        def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, **more}]}

        said: list[dict[str, Any] | str] = [": keep-alive\n\n"]
        said += [chunk({"content": piece}) for piece in pieces]  # no finish_reason, no role
        if self.breaks:
            failed = {"message": "litellm.APIError", "type": "None", "code": "500"}
            return [*said[:3], {"error": failed}]
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return [*said, chunk({}, finish_reason="stop"), {**chunk({}), "usage": usage}]


class StrictTemplate(ModelServer):
    """Has a chat template that raises: one system message at the front, then user and assistant by
    turns, each with words; no tools, no log-probabilities; streams without a usage."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer, {"id": "strict"})  # the one thing that all lists have

    def refusal(self, request: Request, body: dict[str, Any]) -> Response | None:
        roles = [message["role"] for message in body["messages"]]
        turns = roles[1:] if roles[0] == "system" else roles
        words = ""
        if "system" in turns or "developer" in roles:
            words = "System role must be at the beginning"
        elif turns != [("user", "assistant")[n % 2] for n in range(len(turns))]:
            words = "Conversation roles must alternate user/assistant/user/assistant/..."
        elif turns[-1] != "user" or not all(message["content"] for message in body["messages"]):
            words = "the last message must be the user's, and none may be empty"
        elif {"tools", "logprobs", "functions"} & body.keys():
            words = "tools are not supported"
        if not words:
            return None
        error = {"object": "error", "message": words, "type": "BadRequestError", "code": 400}
        return JSONResponse(error, 400)  # not below `error`, as older servers have it

    def chunks(self, body: dict[str, Any], pieces: list[str]) -> list[dict[str, Any] | str]:
        said: list[dict[str, Any] | str] = [{"choices": [{"delta": {"role": "assistant"}}]}]
        said += [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        return [*said, {"choices": [{"delta": None, "finish_reason": "stop"}]}]
