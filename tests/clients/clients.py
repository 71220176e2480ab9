"""Ask, stream and read citations with the clients that people use from Python; print what they got.

Run by `test_clients.py` in an environment of its own, with BASE_URL and API_KEY set.
"""

import asyncio
import json
import os
import traceback
from collections.abc import AsyncIterable, Callable
from typing import Any

import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner
from agents import set_tracing_disabled as set_agents_tracing_disabled
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import SecretStr
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.providers.openai import OpenAIProvider

URL, KEY, MODEL = os.environ["BASE_URL"], os.environ["API_KEY"], os.environ["MODEL"]
QUESTION = os.environ["QUESTION"]
ASKED: Any = [{"role": "user", "content": QUESTION}]

Got = dict[str, Any]


def _quotes(told: Any) -> list[str]:
    return [citation["quote"] for citation in told.model_extra["citations"]]


def openai_chat() -> Got:
    """OpenAI's SDK: a call, the plain loop over a stream, its helper for streams."""
    client = openai.OpenAI(base_url=URL, api_key=KEY)
    whole = client.chat.completions.create(model=MODEL, messages=ASKED)
    plain, quotes = "", []
    for chunk in client.chat.completions.create(model=MODEL, messages=ASKED, stream=True):
        plain += chunk.choices[0].delta.content or ""
        if chunk.choices[0].finish_reason:
            quotes = _quotes(chunk)
    with client.chat.completions.stream(model=MODEL, messages=ASKED) as stream:
        helped = "".join(event.delta for event in stream if event.type == "content.delta")
    return {
        "asked": whole.choices[0].message.content,
        "streamed": [plain, helped],
        "quotes": [_quotes(whole), quotes],
    }


def openai_responses() -> Got:
    """OpenAI's SDK: responses, whole and streamed."""
    client = openai.OpenAI(base_url=URL, api_key=KEY)
    whole = client.responses.create(model=MODEL, input=QUESTION)
    with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        words = "".join(one.delta for one in stream if one.type == "response.output_text.delta")
        final = stream.get_final_response()
    annotations: Any = whole.output[0]
    return {
        "asked": whole.output_text,
        "streamed": [words, final.output_text],
        "quotes": [
            _quotes(whole),
            _quotes(final),
            [one.model_extra["quote"] for one in annotations.content[0].annotations],
        ],
    }


def openai_embeddings() -> Got:
    """OpenAI's SDK and LangChain's `OpenAIEmbeddings`."""
    client = openai.OpenAI(base_url=URL, api_key=KEY)
    (one,) = client.embeddings.create(model="", input=QUESTION).data
    chain = OpenAIEmbeddings(
        openai_api_base=URL,
        openai_api_key=SecretStr(KEY),
        model="dummy",
        check_embedding_ctx_length=False,
    )
    return {"same": chain.embed_query(QUESTION) == one.embedding, "length": len(one.embedding)}


def langchain() -> Got:
    """LangChain's `ChatOpenAI`, which drops what stands beside choices; annotations it keeps."""
    chat = ChatOpenAI(base_url=URL, api_key=KEY, model=MODEL)
    newer = ChatOpenAI(base_url=URL, api_key=KEY, model=MODEL, use_responses_api=True)
    whole = newer.invoke(QUESTION)
    blocks: Any = whole.content
    return {
        "asked": chat.invoke(QUESTION).text,
        "streamed": [
            "".join(chunk.text for chunk in chat.stream(QUESTION)),
            "".join(chunk.text for chunk in newer.stream(QUESTION)),
            whole.text,
        ],
        "quotes": [[one["quote"] for one in blocks[0]["annotations"]]],
    }


def llama_index() -> Got:
    """LlamaIndex' `OpenAILike`."""
    model = OpenAILike(api_base=URL, api_key=KEY, model=MODEL, is_chat_model=True)
    messages = [ChatMessage(role="user", content=QUESTION)]
    whole = model.chat(messages)
    pieces = list(model.stream_chat(messages))
    return {
        "asked": whole.message.content,
        "streamed": [
            "".join(piece.delta or "" for piece in pieces),
            model.complete(QUESTION).text,
        ],
        "quotes": [_quotes(whole.raw), _quotes(pieces[-1].raw)],
    }


async def _joined(pieces: AsyncIterable[str]) -> str:
    return "".join([piece async for piece in pieces])


def pydantic_ai() -> Got:
    """pydantic-ai over both of OpenAI's calls."""
    provider = OpenAIProvider(base_url=URL, api_key=KEY)
    models = OpenAIChatModel(MODEL, provider=provider), PydanticResponses(MODEL, provider=provider)

    async def both() -> Got:
        asked, streamed = [], []
        for model in models:
            agent = PydanticAgent(model, model_settings={"openai_include_raw_annotations": True})
            whole = await agent.run(QUESTION)
            asked.append(whole.output)
            async with agent.run_stream(QUESTION) as stream:
                streamed.append(await _joined(stream.stream_text(delta=True)))
        details = whole.response.parts[-1].provider_details  # of the one that asks for a response
        quotes = [one["quote"] for one in details["annotations"]]
        return {"asked": asked[0], "streamed": [asked[1], *streamed], "quotes": [quotes]}

    return asyncio.run(both())


def openai_agents() -> Got:
    """OpenAI's Agents SDK over both calls."""
    set_agents_tracing_disabled(True)

    async def both() -> Got:
        client = openai.AsyncOpenAI(base_url=URL, api_key=KEY)
        asked, streamed = [], []
        for model in (
            OpenAIChatCompletionsModel(model=MODEL, openai_client=client),
            OpenAIResponsesModel(model=MODEL, openai_client=client),
        ):
            agent = Agent(name="Reader", instructions="Answer from the documents.", model=model)
            whole = await Runner.run(agent, QUESTION)
            asked.append(whole.final_output)
            run = Runner.run_streamed(agent, QUESTION)
            async for _ in run.stream_events():
                pass
            streamed.append(run.final_output)
        message: Any = whole.raw_responses[-1].output[-1]  # of the one that asks for a response
        quotes = [one.model_extra["quote"] for one in message.content[0].annotations]
        return {"asked": asked[0], "streamed": [asked[1], *streamed], "quotes": [quotes]}

    return asyncio.run(both())


CLIENTS: list[Callable[[], Got]] = [
    openai_chat,
    openai_responses,
    openai_embeddings,
    langchain,
    llama_index,
    pydantic_ai,
    openai_agents,
]


def main() -> None:
    """Print what each got, as JSON by its name; where it failed, how."""
    got = {}
    for client in CLIENTS:
        try:
            got[client.__name__] = client()
        except Exception:
            got[client.__name__] = {"failed": traceback.format_exc()[-2000:]}
    print(json.dumps(got))


if __name__ == "__main__":
    main()
