"""Reads the body of a request: one JSON-RPC message, with one meaning to every reader."""

import json
from typing import Any, NoReturn

from bulkhead.errors import MalformedRequest


def read_message(body: bytes) -> dict[str, Any]:
    """The message in `body`. Raises `MalformedRequest` for what two readers could read two ways:
    duplicate keys, batches, ids that are not strings or integers, NaN, lone surrogates."""
    try:
        message = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
        json.dumps(message, ensure_ascii=False).encode("utf-8")  # fails on lone surrogates
    except UnicodeError as error:
        raise MalformedRequest("the request body is not valid UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("the request body is not valid JSON") from error
    if not isinstance(message, dict):
        raise MalformedRequest("send one JSON-RPC message as an object; batches are not taken")
    if message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise MalformedRequest("send a JSON-RPC 2.0 request: 'jsonrpc' is \"2.0\", with a 'method'")
    if not isinstance(message.get("params", {}), dict):
        raise MalformedRequest("the 'params' of a request are an object")
    if "id" in message and type(message["id"]) not in (str, int):
        raise MalformedRequest("the 'id' of a request is a string or an integer")
    return message


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequest("a JSON object in the request body has the same key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"the request body holds {name}, which is not JSON")
