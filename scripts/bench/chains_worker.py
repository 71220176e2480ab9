"""The chains of LangChain and Haystack that `bench.chains` asks, in an environment of their own.

    OPENAI_API_KEY=… python scripts/bench/chains_worker.py LLM MODEL MOST_TOKENS

A line of JSON with `chain`, `question` and `chunks` in, one with `answer` and `seconds` out.
"""

import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

from haystack import Document as HaystackDocument
from haystack import Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

# The prompts of their tutorials, word for word.
_LANGCHAIN = (
    "You are an assistant for question-answering tasks. Use the following pieces of retrieved"
    " context to answer the question. If you don't know the answer, just say that you don't know."
    " Use three sentences maximum and keep the answer concise.\n"
    "Question: {question} \nContext: {context} \nAnswer:"
)
_HAYSTACK = """
Given the following information, answer the question.

Context:
{% for document in documents %}
    {{ document.content }}
{% endfor %}

Question: {{question}}
Answer:
"""

Chain = Callable[[str, list[str]], str]


def langchain(llm: str, model: str, most_tokens: int) -> Chain:
    """LangChain's chain: prompt, model, text."""
    chat = ChatOpenAI(model=model, base_url=llm, temperature=0, max_tokens=most_tokens)
    chain = ChatPromptTemplate.from_template(_LANGCHAIN) | chat | StrOutputParser()
    return lambda question, chunks: chain.invoke(
        {"question": question, "context": "\n\n".join(chunks)}
    )


def haystack(llm: str, model: str, most_tokens: int) -> Chain:
    """Haystack's pipeline: prompt builder and chat generator."""
    pipeline = Pipeline()
    pipeline.add_component(
        "prompt",
        ChatPromptBuilder(template=[ChatMessage.from_user(_HAYSTACK)], required_variables="*"),
    )
    pipeline.add_component(
        "llm",
        OpenAIChatGenerator(
            api_key=Secret.from_env_var("OPENAI_API_KEY"),
            model=model,
            api_base_url=llm,
            timeout=1800,
            generation_kwargs={"temperature": 0, "max_tokens": most_tokens},
        ),
    )
    pipeline.connect("prompt.prompt", "llm.messages")

    def ask(question: str, chunks: list[str]) -> str:
        documents = [HaystackDocument(content=chunk) for chunk in chunks]
        told = pipeline.run({"prompt": {"question": question, "documents": documents}})
        return str(told["llm"]["replies"][0].text or "")

    return ask


def main() -> None:
    """Answer until the input ends."""
    llm, model, most_tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
    chains = {
        "LangChain": langchain(llm, model, most_tokens),
        "Haystack": haystack(llm, model, most_tokens),
    }
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter()
        answer = chains[asked["chain"]](asked["question"], asked["chunks"])
        told = {"answer": answer, "seconds": time.perf_counter() - started}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
