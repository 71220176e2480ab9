"""What an evaluator gets, and what it may say."""

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Label = Literal["supported", "unsupported"]


class Sample(BaseModel):
    """An answer, and the passages that the model was shown for it. Citation markers are left out.

    All the passages, not the cited ones alone: an answer without a citation is the one to look at.
    """

    model_config = ConfigDict(extra="forbid")

    response_id: str = Field(min_length=1, max_length=100)
    question: str = Field(max_length=100_000)
    answer: str = Field(min_length=1, max_length=100_000)
    sources: list[str] = Field(min_length=1, max_length=100)
    lexical: Label | None = Field(None, description="What the retriever's own check said of it.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`score` is 0 to 1, and 1 where all of the answer follows from its sources."""

    label: Label
    score: float


class Unscored(Exception):
    """No verdict. The message is one of a few fixed words: it becomes a label."""


class Evaluator(Protocol):
    """One way to say whether an answer follows from its sources, under a name of its own."""

    name: str
    """Its label in the metrics."""

    @property
    def willing(self) -> bool:
        """Whether it evaluates at all now; else answers are not counted as eligible."""
        ...

    async def evaluate(self, sample: Sample) -> Verdict:
        """The verdict; raises `Unscored` where there is none."""
        ...
