"""What became of one request."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Outcome:
    """One request; times in seconds after the start of the run, none where it did not happen."""

    number: int
    call: str
    kind: str
    question: str
    scheduled: float
    sent: float = 0.0
    headers: float | None = None
    first_token: float | None = None
    end: float = 0.0
    tokens_at: list[float] = field(default_factory=list)
    """When each piece of a stream came that had words in it."""
    status: int | None = None
    error: str | None = None
    """`timeout`, `429`, `http 5xx`, `connection`, `stream` or `reply`; none for a good reply."""
    message: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    timings: dict[str, float] = field(default_factory=dict)
    """The server's own milliseconds by stage."""
    hit: bool | None = None
    """Whether a relevant document was found; none where that is not known."""
    abstained: bool | None = None
    unsupported: bool | None = None

    @property
    def lag(self) -> float:
        """Seconds that the generator was late."""
        return self.sent - self.scheduled

    @property
    def latency(self) -> float:
        """Seconds from the time it was due to its end."""
        return self.end - self.scheduled

    @property
    def first(self) -> float | None:
        """Seconds from the time it was due to the first words."""
        return None if self.first_token is None else self.first_token - self.scheduled

    @property
    def gaps(self) -> list[float]:
        """Seconds between one piece of words and the next."""
        return [b - a for a, b in zip(self.tokens_at, self.tokens_at[1:], strict=False)]

    def row(self) -> dict[str, Any]:
        """As a line of `requests.jsonl`."""
        return asdict(self)
