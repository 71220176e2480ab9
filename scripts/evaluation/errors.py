"""What can go wrong in an evaluation, as one family that the command line reports in one line."""


class EvaluationError(Exception):
    """Base of every error that is about the data, the server or a reply, not about this code."""


class DatasetError(EvaluationError):
    """The folder is not a readable BEIR collection."""


class ApiError(EvaluationError):
    """The retriever could not be reached, refused a call, or replied in another shape."""


class MeasurementError(EvaluationError):
    """A reply is well formed but cannot be measured honestly (degraded, or a filter not kept)."""
