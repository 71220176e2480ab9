"""The one error shape of every service: `{"error": {"type", "message", "request_id"}}`."""

from typing import Any

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong, in words a caller can act on; never a trace, a path or a secret."""

    type: str
    message: str
    request_id: str
    part: str | None = None
    """The neighbour that is down, for `unavailable`."""
    param: str | None = None
    """The field at fault, as OpenAI's clients read it."""
    code: str | None = None
    """OpenAI's own word for the error, where it has one."""


class ErrorBody(BaseModel):
    """The JSON body of every response with a status of 400 or above."""

    error: ErrorDetail


class ApiError(Exception):
    """An error that a caller should see. Subclasses fix the status and the type."""

    status = 500
    type = "internal"
    param: str | None = None
    code: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.headers: dict[str, str] = {}
        self.part: str | None = None

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body for this error."""
        detail = ErrorDetail(
            type=self.type,
            message=self.message,
            request_id=request_id,
            part=self.part,
            param=self.param,
            code=self.code,
        )
        return ErrorBody(error=detail).model_dump(exclude_none=True)


class MalformedRequest(ApiError):
    """400: the request could not be read at all."""

    status, type = 400, "malformed_request"


class Unsupported(ApiError):
    """400 in OpenAI's own words: a field asks for what is not done here."""

    status, type, code = 400, "invalid_request_error", "unsupported_value"

    def __init__(self, message: str, param: str) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param


class Unauthenticated(ApiError):
    """401: no key, or one that is not known."""

    status, type = 401, "unauthenticated"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(ApiError):
    """403: the key is known and this is not its to do."""

    status, type = 403, "forbidden"


class NotFound(ApiError):
    """404: it does not exist, or not for this caller: the two look the same."""

    status, type = 404, "not_found"


class UnknownModel(NotFound):
    """404 in OpenAI's own words: no model of that name answers here."""

    type, code = "invalid_request_error", "model_not_found"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.param = "model"


class RequestTimedOut(ApiError):
    """408: the request came too slowly to wait for the rest of it."""

    status, type = 408, "request_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"Connection": "close"}


class Conflict(ApiError):
    """409: it clashes with what is already there."""

    status, type = 409, "conflict"


class TooLarge(ApiError):
    """413: more bytes than the service takes."""

    status, type = 413, "too_large"


class UnsupportedMediaType(ApiError):
    """415: a body or file of a kind that is not read here."""

    status, type = 415, "unsupported_media_type"


class Misdirected(ApiError):
    """421: the `Host` is none of this service's names; see DNS rebinding."""

    status, type = 421, "misdirected_request"


class InvalidValue(ApiError):
    """422: well-formed, and a value in it cannot be used."""

    status, type = 422, "invalid_value"


class HeadTooLarge(ApiError):
    """431: request line and headers together are longer than the service reads."""

    status, type = 431, "head_too_large"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"Connection": "close"}


class RateLimited(ApiError):
    """429: come back after `retry_after` seconds."""

    status, type = 429, "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(retry_after)}


class Unavailable(ApiError):
    """503: the part named is down, and this call cannot do without it."""

    status, type = 503, "unavailable"

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part
