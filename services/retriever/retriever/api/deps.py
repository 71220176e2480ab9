"""What routes ask for: the stack, and who is calling."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from bulkhead.auth import Principal, Role, bearer_key
from retriever.stack import Stack

# For the OpenAPI document only: `bearer_key` reads the header, and its error is in our own shape.
_SCHEME = HTTPBearer(auto_error=False, description="The API key; `make serve` says where it is.")


def _stack(request: Request) -> Stack:
    stack = request.app.state.stack
    assert isinstance(stack, Stack)
    return stack


StackDep = Annotated[Stack, Depends(_stack)]


def _reader(request: Request, stack: StackDep, _: Annotated[object, Depends(_SCHEME)]) -> Principal:
    return stack.keys.principal(bearer_key(request))


def _writer(principal: Annotated[Principal, Depends(_reader)]) -> Principal:
    principal.require(Role.WRITER)
    return principal


Reader = Annotated[Principal, Depends(_reader)]
"""Any key that is known."""
Writer = Annotated[Principal, Depends(_writer)]
"""A key that may change documents."""
