"""Labelled questions, from a file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Labelled(BaseModel):
    """A question, and where its answer stands."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=2000)
    source: str = Field(min_length=1, description="The document that holds the answer.")
    text: str = Field(
        "", description="Words of the passage: a chunk of the source that lacks them is no hit."
    )

    def answered_by(self, source: str, text: str) -> bool:
        """Whether this chunk of that source holds the answer. White space does not count."""
        return source == self.source and _plain(self.text) in _plain(text)


class Statement(BaseModel):
    """A statement about a passage, to be judged."""

    model_config = ConfigDict(extra="forbid")

    statement: str = Field(min_length=1, max_length=2000)
    passage: str = Field(min_length=1, max_length=10_000)
    supported: bool = Field(description="Whether every detail of it is in the passage.")


class Canaries(BaseModel):
    """The questions of a round."""

    model_config = ConfigDict(extra="forbid")

    retrieval: list[Labelled] = Field(min_length=1, description="To be found.")
    declined: list[str] = Field([], description="To be declined: no document holds the answer.")
    judged: list[Statement] = Field([], description="To be judged, one a round, where one judges.")


def read(path: Path) -> Canaries:
    """The canaries in a file. Raises `ValueError`, in words, where it does not hold any."""
    try:
        return Canaries.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read the canaries in {path.name}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ValueError(f"the canaries in {path.name}: {where}: {problem['msg']}") from error


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
