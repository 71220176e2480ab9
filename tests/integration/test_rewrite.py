"""A question that leans on the turns before it, rewritten by the model, over HTTP."""

import json
from typing import Any

import pytest
from rig import Api
from scripted_llm import ScriptedLLM, Turn

from retriever.settings import RetrieverSettings

BEFORE = "Which port does the retriever listen on?"
ASKED = "And what about the embedding service?"
REWRITTEN = "Which port does the embedding service listen on?"
SAID = "The embedding service listens on port 8081."
ANSWERED = "The retriever listens on port 8080."


@pytest.fixture
def settings(settings: RetrieverSettings) -> RetrieverSettings:
    return settings.model_copy(update={"rewrite": True})


def writing(rewrite: str) -> Any:
    return lambda body: Turn(rewrite if "response_format" in body else SAID)


def searched(api: Api, question: str = ASKED) -> list[str]:
    turns = [
        {"role": "user", "content": BEFORE},
        {"role": "assistant", "content": ANSWERED},
        {"role": "user", "content": question},
    ]
    reply = api.post("/v1/chat/completions", json={"messages": turns})
    assert reply.status_code == 200, reply.text
    assert SAID in reply.json()["choices"][0]["message"]["content"]
    queries: list[str] = reply.json()["retrieval"]["queries"]
    return queries


def test_the_reply_names_what_the_model_made_of_the_question(filled: Api, llm: ScriptedLLM) -> None:
    llm.script = writing(json.dumps({"question": REWRITTEN}))
    assert searched(filled) == [ASKED, BEFORE, ANSWERED, REWRITTEN]
    rewriting, answering = llm.requests
    assert ASKED in rewriting["messages"][-1]["content"]
    assert rewriting["temperature"] == 0
    assert "response_format" not in answering
    assert REWRITTEN not in json.dumps(answering)  # the model answers what was asked


def test_without_a_rewrite_of_use_the_answer_comes_all_the_same(
    filled: Api, llm: ScriptedLLM
) -> None:
    llm.script = writing("It listens on 8081, I think.")
    assert searched(filled) == [ASKED, BEFORE, ANSWERED]


def test_a_question_that_stands_by_itself_is_not_rewritten(filled: Api, llm: ScriptedLLM) -> None:
    llm.script = writing(json.dumps({"question": BEFORE}))
    assert searched(filled, REWRITTEN) == [REWRITTEN, BEFORE, ANSWERED]
    assert len(llm.requests) == 1
