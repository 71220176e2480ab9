"""What goes to the model server is what OpenAI's own client sends of the same."""

import json
from typing import Any

import httpx2
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from retriever.clients.llm import LLMClient

CONVERSATION = [
    SystemMessage("Answer from the sources."),
    HumanMessage("Which port? 🦊 \x00"),
    AIMessage("", tool_calls=[{"name": "look", "args": {"where": "docs"}, "id": "1"}]),
    ToolMessage("8080", tool_call_id="1"),
    HumanMessage("And the other?"),
]


@tool
def look(where: str) -> str:
    """Look it up."""
    return where


class Sent(httpx2.AsyncBaseTransport):
    """Remembers each request, and answers with one word."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, ...]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        kept = {
            name: value
            for name, value in request.headers.items()
            if not name.startswith("x-stainless") and name != "traceparent"
        }
        body = json.loads(await request.aread())
        self.requests.append((request.method, str(request.url), kept, body))
        event = b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'
        kind = {"content-type": "text/event-stream"}
        return httpx2.Response(200, content=event + b"data: [DONE]\n\n", headers=kind)


@pytest.mark.parametrize("with_tools", [False, True])
async def test_the_request_is_the_one_that_openai_s_client_makes(with_tools: bool) -> None:
    sent = Sent()
    async with httpx2.AsyncClient(transport=sent) as http:
        ours: Any = LLMClient(http, "http://model/v1", "key", 5).chat_model("some")
        theirs = ours.model_copy()
        theirs.async_client = ours.root_async_client.chat.completions
        for model in (ours, theirs):
            asked = model.bind_tools([look]) if with_tools else model
            options = {"stop": ["\n"], "max_tokens": 9, "seed": 1, "temperature": 0.5}
            words = [chunk.text async for chunk in asked.astream(CONVERSATION, **options)]
            assert "".join(words) == "word"
    ours_sent, theirs_sent = sent.requests
    assert ours_sent == theirs_sent
    assert ("tools" in ours_sent[3]) is with_tools
