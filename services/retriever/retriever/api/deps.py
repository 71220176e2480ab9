"""What routes ask for: the stack, and who is calling.

All are coroutines, though none waits: FastAPI would run a plain function in a thread.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from bulkhead.auth import Principal, Role
from bulkhead.event import Event
from retriever.stack import Stack

# For the OpenAPI document only: `Access` reads the header, and its error is in our own shape.
_SCHEME = HTTPBearer(
    auto_error=False,
    description="The API key; `make serve` says where it is. Where people log in, their access"
    " token, too.",
)


async def _stack(request: Request) -> Stack:
    stack = request.app.state.stack
    assert isinstance(stack, Stack)
    return stack


StackDep = Annotated[Stack, Depends(_stack)]


async def _event(request: Request) -> Event:
    event = request.state.event
    assert isinstance(event, Event)
    return event


EventDep = Annotated[Event, Depends(_event)]
"""The request's line in the audit log, for what only the route knows."""


async def _reader(request: Request, _: Annotated[object, Depends(_SCHEME)]) -> Principal:
    principal = request.state.principal  # of `Access`, which lets nobody else through
    assert isinstance(principal, Principal)
    return principal


def _changes(principal: Principal, role: Role, stack: Stack, event: Event) -> Principal:
    """What changes something is audited, or does not happen."""
    principal.require(role)
    stack.audit.require(change=True)
    event.change = True
    return principal


Reader = Annotated[Principal, Depends(_reader)]
"""Any key that is known, and whoever logged in."""


async def _writer(principal: Reader, stack: StackDep, event: EventDep) -> Principal:
    return _changes(principal, Role.WRITER, stack, event)


async def _admin(principal: Reader, stack: StackDep, event: EventDep) -> Principal:
    return _changes(principal, Role.ADMIN, stack, event)


Writer = Annotated[Principal, Depends(_writer)]
"""Whoever may change documents."""
Admin = Annotated[Principal, Depends(_admin)]
"""Whoever manages the keys of their tenant."""
