"""The flow takes any LangChain chat model and any LangChain retriever."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.retrievers import BaseRetriever

from retriever.answer.flow import Answered, Answerer, Choice, Choices, Declined, Question
from retriever.branding.branding import packaged
from retriever.report import Report
from retriever.settings import RetrieverSettings

TEXT = "The retriever listens on port 8080. Qdrant keeps the vectors."


class Shelf(BaseRetriever):
    """Somebody else's retriever: the same document for every question."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        metadata = {
            "chunk_id": "c1",
            "document_id": "d1",
            "title": "Ports",
            "source": "ports.md",
            "page": 3,
            "start": 10,
            "end": 10 + len(TEXT),
            "score": 1.0,
        }
        return [Document(page_content=TEXT, metadata=metadata)]


async def answer(model: BaseChatModel, question: str) -> tuple[str, Answered, Report]:
    async def count(text: str) -> int:
        return len(text.split())

    report = Report()

    async def choices() -> Choices:
        yield Choice(model, 2000, count)

    asked = Question(question, [], top_k=1)
    words, end = "", None
    answerer = Answerer(RetrieverSettings(), packaged().answers)
    async for event in answerer.answer(asked, Shelf(), choices(), report):
        if isinstance(event, str):
            words += event
        elif isinstance(event, Declined):
            words += event.text
        elif isinstance(event, Answered):
            end = event
    assert end is not None
    return words, end, report


async def test_another_chat_model_answers_through_the_same_flow() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("It listens on port 8080 [4].")]))
    words, end, report = await answer(model, "Which port does the retriever listen on?")
    assert words == "It listens on port 8080. [1]"
    (citation,) = end.citations
    assert (citation.quote, citation.start, citation.page) == (TEXT[:35], 10, 3)
    assert end.grounding.supported
    assert {"prepare", "prompt", "first_token", "generate", "cite"} <= report.timings.keys()


class Endless(BaseChatModel):
    """A model that never stops, and says when it was closed."""

    closed: bool = False

    @property
    def _llm_type(self) -> str:
        return "endless"

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("only streams are asked for")

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            n = 0
            while True:
                n += 1
                yield ChatGenerationChunk(message=AIMessageChunk(content=f"Word {n} "))
        finally:
            self.closed = True


async def test_closing_the_flow_closes_the_model() -> None:
    async def count(text: str) -> int:
        return 1

    model = Endless()

    async def choices() -> Choices:
        yield Choice(model, 2000, count)

    question = Question("Which port does the retriever listen on?", [], 1)
    flow = Answerer(RetrieverSettings(), packaged().answers).answer(
        question, Shelf(), choices(), Report()
    )
    assert await anext(flow)
    await flow.aclose()
    assert model.closed


@pytest.mark.parametrize("question", ["Zebras of Namibia?", "¿?"])
async def test_the_model_is_not_asked_about_what_was_not_found(question: str) -> None:
    model = Endless()
    words, end, _ = await answer(model, question)
    assert end.grounding.abstained
    assert "could not find" in words
