"""What Qdrant says when it cannot, as `Unavailable` in words that a caller may read."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client.common.client_exceptions import QdrantException

from bulkhead.errors import InvalidValue, Unavailable

logger = logging.getLogger(__name__)

_MOST_CHARACTERS = 200
_PATH = re.compile(r"(?<![\w.])/[^\s:'\"]+")
_DISKS = (
    (re.compile(r"no space left on device|disk is full|disk quota", re.I), "is full"),
    (re.compile(r"read-?only (file ?system|database)", re.I), "is read-only"),
)
"""How a disk at fault shows, in the words of the system, of SQLite and of Qdrant."""
_FULL = "the index's disk is full"


@contextmanager
def reaching() -> Iterator[None]:
    """Whatever the client raises when Qdrant is gone, hangs or refuses becomes `Unavailable`.

    What it calls a mistake in the request becomes `InvalidValue`: that is no fault of the store.
    """
    try:
        yield
    except AioRpcError as error:
        details = error.details() or ""
        logger.warning("Qdrant fails", extra={"code": error.code().name, "reason": details})
        if error.code() in (StatusCode.INVALID_ARGUMENT, StatusCode.OUT_OF_RANGE):
            raise InvalidValue(f"Qdrant refuses it: {_shown(details)}") from error
        raise Unavailable("qdrant", _words(error.code(), details)) from error
    except QdrantException as error:
        raise Unavailable("qdrant", f"Qdrant refuses for now: {_shown(str(error))}") from error
    except (sqlite3.Error, OSError) as error:  # embedded Qdrant's own store
        raise Unavailable("storage", _embedded(error)) from error


def disk_fault(reason: str, what: str = "the index's disk") -> str | None:
    """In words, what is the matter with the disk, if `reason` speaks of one that is at fault."""
    state = next((state for sign, state in _DISKS if sign.search(reason)), None)
    return state and f"{what} {state}"


def _words(code: StatusCode, details: str) -> str:
    match code:
        # Of these the details are the channel's own, with addresses of the network in them.
        case StatusCode.UNAVAILABLE | StatusCode.CANCELLED:
            return "Qdrant does not answer"
        case StatusCode.DEADLINE_EXCEEDED:
            return "Qdrant does not answer in time"
        case StatusCode.UNAUTHENTICATED | StatusCode.PERMISSION_DENIED:
            return "Qdrant refuses the retriever's key"
    return disk_fault(details) or f"Qdrant fails: {_shown(details) or code.name}"


def _shown(reason: str) -> str:
    """A reason without paths, and not too long."""
    return _PATH.sub("…", reason.removeprefix("Service internal error: "))[:_MOST_CHARACTERS]


def _embedded(error: Exception) -> str:
    if getattr(error, "sqlite_errorname", None) == "SQLITE_IOERR_SHMSIZE":
        # "disk I/O error" in its words: it found no room for its shared memory.
        return _FULL
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return disk_fault(str(error)) or f"the index cannot be written ({reason})"
