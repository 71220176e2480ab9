"""A tool: a name, what it takes, what it gives, and the coroutine that does it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import mcp_types
from pydantic import BaseModel, ConfigDict, ValidationError

from bulkhead.auth import Principal


class Arguments(BaseModel):
    """Base of every tool's arguments: an unknown one is refused, and none is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ToolError(Exception):
    """A failure that the model should read: what was wrong or which limit was met, what to do.

    Its text leaves the server: no path of the host, no secret, nothing of another tenant.
    """


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Tool(Generic[A, R]):
    """One tool that reads and changes nothing. `run` gets the caller and the checked arguments."""

    name: str
    title: str
    description: str
    arguments: type[A]
    result: type[R]
    run: Callable[[Principal, A], Awaitable[R]]

    def definition(self) -> mcp_types.Tool:
        """What `tools/list` says about it."""
        return mcp_types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=mcp_types.ToolAnnotations(
                title=self.title,
                read_only_hint=True,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=False,
            ),
        )

    def parse(self, arguments: dict[str, Any]) -> A:
        """The checked arguments. Raises `ToolError` that names what is wrong and echoes nothing."""
        try:
            return self.arguments.model_validate_json(json.dumps(arguments))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}"
                for one in error.errors()[:5]
            )
            known = ", ".join(self.arguments.model_fields) or "none"
            raise ToolError(f"{problems}. The arguments of {self.name} are: {known}.") from error


AnyTool = Tool[Any, Any]
