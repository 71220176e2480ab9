"""Named queries: SQL that a person wrote, in a YAML file, with typed parameters.

Each becomes a tool. The caller gives values and never SQL, which makes this the safest shape.
"""

import datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from bulkhead.auth import Principal
from bulkhead.mcp.tools import AnyTool, Arguments, Tool, ToolError
from mcp_database.execution import Execution, QueryResult
from mcp_database.gate import Gate

_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_TYPES: dict[str, Any] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "date": datetime.date,
}
_MAX_TEXT = 1000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Strict):
    """A value that the caller gives."""

    name: str = Field(pattern=_NAME)
    type: Literal["text", "integer", "number", "boolean", "date"]
    description: str = Field(min_length=1)
    default: str | int | float | bool | datetime.date | None = None
    """Used where the caller gives none; without a default the caller must."""


class NamedQuery(_Strict):
    """One query of the file. In its SQL, `$1` is the first of its parameters."""

    name: str = Field(pattern=_NAME)
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    parameters: list[Parameter] = []
    sql: str

    def arguments(self) -> type[Arguments]:
        """The model of the tool's arguments."""
        fields: dict[str, Any] = {
            one.name: (
                _TYPES[one.type],
                Field(
                    ... if one.default is None else one.default,
                    description=one.description,
                    max_length=_MAX_TEXT if one.type == "text" else None,
                ),
            )
            for one in self.parameters
        }
        return create_model(
            f"{self.name.title().replace('_', '')}Arguments", __base__=Arguments, **fields
        )


class _File(_Strict):
    queries: list[NamedQuery]


def read_queries(path: Path, gate: Gate) -> list[NamedQuery]:
    """The queries in the file, each checked as free SQL is.

    Raises `ValueError`, with the place, where the file or a query cannot be used.
    """
    try:
        queries = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).queries
    except OSError as error:
        raise ValueError(f"cannot read {path.name}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(step) for step in problem["loc"])
        raise ValueError(f"{path.name}: {where}: {problem['msg']}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f"{path.name} is not YAML") from error
    for query in queries:
        try:
            gate.check(query.sql)
        except ToolError as error:
            raise ValueError(f"{path.name}: {query.name}: {error}") from error
    return queries


def tool(query: NamedQuery, execution: Execution, max_rows: int) -> AnyTool:
    """The tool that runs `query`."""

    async def run(principal: Principal, arguments: Arguments) -> QueryResult:
        values = [getattr(arguments, one.name) for one in query.parameters]
        return await execution.query(principal, query.sql, values, max_rows)

    return Tool(
        name=query.name,
        title=query.title,
        description=query.description,
        arguments=query.arguments(),
        result=QueryResult,
        run=run,
    )
