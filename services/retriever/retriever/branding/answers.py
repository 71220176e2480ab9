"""What the model is told and what the retriever says itself: `answers.toml`."""

from functools import cached_property
from typing import Annotated

from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from retriever.answer.abstention import plain
from retriever.answer.sentences import sentences
from retriever.branding.placeholders import check_places

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
_FENCE = ("<source>", "</source>")
_RESULT = ("<result>", "</result>")


def _with(*names: str) -> AfterValidator:
    return AfterValidator(lambda text: check_places(text, frozenset(names)))


def _naming(*tags: str) -> AfterValidator:
    def named(text: str) -> str:
        if missing := [tag for tag in tags if tag not in text]:
            told = " and ".join(missing)
            raise ValueError(f"it has to say what {told} mean: data, no instruction")
        return text

    return AfterValidator(named)


class Prompt(BaseModel):
    """The texts that a prompt is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: Annotated[Text, _with("unknown"), _naming(*_FENCE)]
    unknown: Annotated[Text, _with("abstention")]
    unknown_with_tools: Annotated[Text, _with()]
    answer_with_tools: Annotated[Text, _with()]
    tools: Annotated[Text, _with(), _naming(*_RESULT)]
    tools_mark: Annotated[Text, _with("mark")]
    question: Annotated[Text, _with("sources", "end", "before", "question")]
    end: Annotated[Text, _with("mark")]
    rewrite: Annotated[Text, _with()]


class Said(BaseModel):
    """What is said where there is no answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    abstention: Annotated[Text, _with()]
    """What the model is told to say."""
    nothing_found: Annotated[Text, _with()]
    """In place of the model, which is not asked."""
    no_answer: Annotated[Text, _with()]
    """After a model that only called tools."""


class Answers(BaseModel):
    """All words of an answer that are not the model's or a document's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Prompt
    said: Said

    @cached_property
    def unknown(self) -> str:
        """What the model does where the sources do not hold the answer."""
        return self.prompt.unknown.format(abstention=self.said.abstention)

    @cached_property
    def system(self) -> str:
        """Our instructions to the model."""
        return self.prompt.system.format(unknown=self.unknown)

    @cached_property
    def template(self) -> ChatPromptTemplate:
        """The messages; it takes `rules`, `history` and what the question's template names."""
        return ChatPromptTemplate.from_messages(
            [
                ("system", "{rules}"),
                MessagesPlaceholder("history"),
                ("human", self.prompt.question),
            ]
        )

    @cached_property
    def stop(self) -> tuple[str, ...]:
        """Where a model that goes on to write the next question or source is stopped."""
        before = self.prompt.question.partition("{question}")[0]
        label = before.rpartition("\n")[2].rpartition("}")[2].strip()
        return (*([f"\n{label}"] if label else []), *_FENCE)

    @cached_property
    def abstentions(self) -> frozenset[str]:
        """The sentences of what is said where there is no answer, as `plain` makes them."""
        said = self.said
        texts = (said.abstention, said.nothing_found, said.no_answer)
        found = {plain(text[start:end]) for text in texts for start, end in sentences(text)}
        return frozenset(found - {""})
