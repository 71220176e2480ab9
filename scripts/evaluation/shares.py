"""The numbers of a set of answers: each a share, its two counts taken per question."""

from collections.abc import Callable
from dataclasses import dataclass

from evaluation.answers import Kind, Record
from evaluation.bootstrap import Estimate, estimate, percentiles

Count = Callable[[Record], int]


@dataclass(frozen=True)
class Share:
    """sum(part) / sum(whole) over the questions of the given kinds."""

    name: str
    part: Count
    whole: Count
    kinds: tuple[Kind, ...]


def _asked(record: Record) -> int:
    return 1


def _answered(record: Record) -> int:
    return int(not record.abstained)


def _retrieved(record: Record) -> int:
    return int(record.gold_retrieved)


def _citations(record: Record) -> int:
    return len(record.citations)


def _right(record: Record) -> int:
    return int(record.contains_gold)


def _wrong(record: Record) -> int:
    return int(not record.abstained and not record.contains_gold)


def _gold_citations(record: Record) -> int:
    return sum(citation.gold for citation in record.citations)


def _supported(record: Record) -> int:
    return int(record.supported)


def _both(*counts: Count) -> Count:
    return lambda record: int(all(count(record) for count in counts))


def _abstained(record: Record) -> int:
    return int(record.abstained)


def _verified(record: Record) -> int:
    return sum(citation.verified for citation in record.citations)


ANSWERABLE: tuple[Kind, ...] = ("answerable",)
DECLINABLE: tuple[Kind, ...] = ("left_out", "foreign")
WITH_GOLD: tuple[Kind, ...] = ("answerable", "left_out")
EVERY: tuple[Kind, ...] = ("answerable", "left_out", "foreign")

# "of answered" is of the questions on which the retriever did not abstain.
SHARES = (
    Share("contains gold, of asked", _right, _asked, WITH_GOLD),
    Share("gold paragraph retrieved, of asked", _retrieved, _asked, ANSWERABLE),
    Share("contains gold, of retrieved", _both(_right, _retrieved), _retrieved, ANSWERABLE),
    Share("citation precision", _gold_citations, _citations, ANSWERABLE),
    Share("citation recall, of answered", _both(_gold_citations, _answered), _answered, ANSWERABLE),
    Share("any citation, of answered", _both(_citations, _answered), _answered, EVERY),
    Share("citations that verify", _verified, _citations, EVERY),
    Share("false abstention, of asked", _abstained, _asked, ANSWERABLE),
    Share("false abstention, of retrieved", _both(_abstained, _retrieved), _retrieved, ANSWERABLE),
    Share("abstained, of asked", _abstained, _asked, DECLINABLE),
    Share("supported, of answered", _both(_supported, _answered), _answered, EVERY),
    Share("supported, of those with gold", _both(_supported, _right), _right, ANSWERABLE),
    Share("supported, of those without gold", _both(_supported, _wrong), _wrong, ANSWERABLE),
)


def summarise(records: list[Record], kind: Kind, seed: int) -> dict[str, Estimate]:
    """Every share that makes sense for one kind of question, with its interval."""
    # In the order of ids, so that the intervals do not depend on the order of the questions.
    chosen = sorted((record for record in records if record.kind == kind), key=lambda r: r.id)
    return {
        share.name: estimate(
            [share.part(record) for record in chosen],
            [share.whole(record) for record in chosen],
            seed=seed,
        )
        for share in SHARES
        if kind in share.kinds
    }


def costs(records: list[Record]) -> dict[str, dict[str, float] | None]:
    """Percentiles of latency, time to first words (milliseconds) and tokens, where known."""
    columns = ("latency_ms", "first_token_ms", "prompt_tokens", "completion_tokens")
    return {column: percentiles(_known(records, column)) for column in columns}


def failed(record: Record) -> bool:
    """Whether an answer is one to read: wrong or declined where answerable, given where not."""
    if any(not citation.verified for citation in record.citations):
        return True
    return not record.contains_gold if record.kind == "answerable" else not record.abstained


def _known(records: list[Record], column: str) -> list[float]:
    return [value for record in records if (value := getattr(record, column)) is not None]
