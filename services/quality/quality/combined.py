"""The lexical check and the judge together: what either of them misses, the other may see."""

from quality.evaluation import Label, Verdict

NAME = "lexical+judge"
"""Its label in the metrics."""


def combined(lexical: Label, judged: Verdict) -> Verdict:
    """Supported where both say so. The judge's score, less one where the lexical check objects.

    So its score is -1 to 1.
    """
    if lexical == "supported":
        return judged
    return Verdict("unsupported", judged.score - 1)
