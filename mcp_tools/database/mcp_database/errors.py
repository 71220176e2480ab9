"""PostgreSQL's errors in words for a model: what to change, and nothing about the inside."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from bulkhead.mcp.tools import ToolError

logger = logging.getLogger(__name__)

DOWN = "the database does not answer; try again later"
NO_JSON_FORM = "a column has a type that has no JSON form; cast it: column::text"
_BUSY = "the database is busy with other queries; try again in a second"

_BY_STATE = {
    "57014": "the query took too long and was ended; read fewer rows or join on a key",
    "55P03": "a table is locked by other work; try again in a second",
    "53200": "the query needs more memory than it may have; read or build less at once",
    "53400": "the query needs more temporary space than it may have; read or sort less at once",
    "53300": _BUSY,
    "42501": "that is not allowed: the tables of list_tables can be read, and nothing else",
    "42P01": "there is no such table; list_tables names those that can be read",
    "25006": "that would change something; this server only reads",
    "3D000": DOWN,
}
_OWN_WORDS = ("0A", "21", "22", "42", "54")
"""Classes of errors about the statement or its values: PostgreSQL's own message says it best."""
_NO_ANSWER = ("08", "57P")


@contextmanager
def told() -> Iterator[None]:
    """Turns what the database says, or that it says nothing, into a `ToolError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise ToolError(_words(error)) from error
    except asyncpg.UnsupportedClientFeatureError as error:
        raise ToolError(NO_JSON_FORM) from error
    except asyncpg.InterfaceError as error:
        first_line = str(error).partition("\n")[0]
        if "argument" in first_line:  # their number is wrong
            raise ToolError(f"parameters: {first_line}") from error
        raise ToolError(DOWN) from error
    except (OSError, asyncpg.InternalClientError) as error:  # the latter: cut off amid a message
        logger.warning("the database does not answer: %s", error)
        raise ToolError(DOWN) from error


def _words(error: asyncpg.PostgresError) -> str:
    state = error.sqlstate or ""
    if state in _BY_STATE:
        return _BY_STATE[state]
    if state.startswith(_OWN_WORDS):
        hint = getattr(error, "hint", None)
        return f"PostgreSQL: {error.args[0]}" + (f" ({hint})" if hint else "")
    if state.startswith(_NO_ANSWER):
        return DOWN
    logger.warning("PostgreSQL refused with %s: %s", state, type(error).__name__)
    if state.startswith("28"):
        return "the database does not let this server in; an operator must look at it"
    return f"PostgreSQL could not run the query (SQLSTATE {state})"
