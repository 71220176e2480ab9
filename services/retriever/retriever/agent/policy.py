"""The tool policy: which tools there are, what each may cost, and what each must look like.

The policy is one YAML file. Beside it lies a file with the definitions that its hashes stand for
(`policy.pins.json` beside `policy.yaml`), so that a change can be shown and not only noticed.
"""

import difflib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from referencing import Registry

from retriever.agent.canonical import canonical, digest

PACKAGED = Path(__file__).parent / "policy.yaml"
SEPARATOR = "__"
"""Between server and tool in the name that the model calls."""

Definition = dict[str, Any]
"""A tool as its server tells it: name, description, schemas, annotations."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,60}$")]
"""What a model server takes as part of a function's name; others' tools may have capitals."""
LARGEST_DEFINITION = 64 * 2**10
"""Bytes of a tool's definition, as canonical JSON."""


class Risk(StrEnum):
    """What a tool can do. Annotations of the server do not count: it may lie."""

    READ = "read"
    WRITE = "write"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestBudget(_Strict):
    """What all tools together may take for one question."""

    steps: int = Field(ge=1, le=50, description="Turns of the model that may call tools.")
    calls: int = Field(ge=1, le=200, description="Calls, refused ones too.")
    bytes: int = Field(ge=1, description="Bytes of all results.")
    seconds: float = Field(gt=0, description="Seconds from the first turn to the last call.")
    tokens: int = Field(ge=1, description="Tokens of all turns, prompt and answer.")


class ToolPolicy(_Strict):
    """One tool that may be called."""

    server: Name
    tool: ToolName
    risk: Risk
    sha256: str = Field(pattern=r"^([0-9a-f]{64}|unpinned)$")
    calls: int = Field(ge=1, description="Calls for one question.")
    bytes: int = Field(ge=1, description="Bytes of one result.")
    seconds: float = Field(gt=0, description="Seconds of one call.")

    @property
    def name(self) -> str:
        """What the model calls it."""
        return f"{self.server}{SEPARATOR}{self.tool}"


class PolicyFile(_Strict):
    """The YAML file."""

    request: RequestBudget
    argument_bytes: int = Field(ge=1, description="Bytes of the arguments of one call.")
    approval_seconds: float = Field(gt=0, description="How long an approval can be given and used.")
    tools: list[ToolPolicy] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_clear(self) -> Self:
        names = [tool.name for tool in self.tools]
        if len(set(names)) != len(names):
            raise ValueError("a tool is named twice")
        for tool in self.tools:
            if SEPARATOR in tool.server or SEPARATOR in tool.tool:
                raise ValueError(f"{tool.name}: a name may not hold {SEPARATOR!r}")
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool.name):
                raise ValueError(f"{tool.name}: longer than 64 characters")
        return self


class PolicyError(ValueError):
    """The policy cannot be used; the message is for the operator."""


class DefinitionChangedError(Exception):
    """A tool is not what was pinned. The message holds the difference."""


class AllowedTool:
    """A tool of the policy with its pinned definition, ready to check arguments."""

    def __init__(self, policy: ToolPolicy, definition: Definition) -> None:
        self.policy = policy
        self.definition = definition
        self.name = policy.name
        schema = definition["inputSchema"]
        # A registry of our own: the default one would fetch a remote `$ref`.
        self._validator = Draft202012Validator(schema, registry=Registry())

    def problem(self, arguments: Mapping[str, Any]) -> str:
        """Why `arguments` do not fit the pinned schema; empty when they do. Echoes no value."""
        known = self.definition["inputSchema"].get("properties", {})
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            return f"unknown arguments; the arguments are: {', '.join(known) or 'none'}"
        for error in self._validator.iter_errors(arguments):
            where = ".".join(str(step) for step in error.absolute_path) or "arguments"
            if error.validator == "required":
                return f"{where}: required are {', '.join(error.validator_value)}"
            return f"{where}: does not hold to '{error.validator}: {_short(error.validator_value)}'"
        return ""

    def check(self, offered: Definition | None) -> None:
        """Raise `DefinitionChangedError` unless the server offers exactly what was pinned."""
        if offered is not None and digest(offered) == self.policy.sha256:
            return
        raise DefinitionChangedError(difference(self.name, self.definition, offered))


class Policy:
    """The policy, checked, with the pinned definition of every tool."""

    def __init__(self, file: PolicyFile, tools: Mapping[str, AllowedTool]) -> None:
        self.request = file.request
        self.argument_bytes = file.argument_bytes
        self.approval_seconds = file.approval_seconds
        self.tools = dict(tools)

    @classmethod
    def load(cls, path: Path) -> "Policy":
        """The policy in `path`. Raises `PolicyError`, naming what is wrong."""
        file = read(path)
        pins = read_pins(path)
        tools = {}
        for tool in file.tools:
            definition = pins.get(tool.name)
            if definition is None or digest(definition) != tool.sha256:
                raise PolicyError(
                    f"{path.name}: {tool.name} is not pinned by its hash: run scripts/pin_tools.py"
                )
            if fault := unusable(definition):
                raise PolicyError(f"{path.name}: {tool.name} {fault}")
            tools[tool.name] = AllowedTool(tool, definition)
        return cls(file, tools)

    def of(self, server: str) -> list[AllowedTool]:
        """The tools of one server."""
        return [tool for tool in self.tools.values() if tool.policy.server == server]


def read(path: Path) -> PolicyFile:
    """The policy file without its pins. Raises `PolicyError`."""
    try:
        return PolicyFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PolicyError(f"cannot read the tool policy {path.name}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"the tool policy {path.name} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}"
            for one in error.errors()[:5]
        )
        raise PolicyError(f"the tool policy {path.name} is wrong: {problems}") from error


def unusable(definition: Definition) -> str:
    """Why a tool with this definition cannot be called; empty when it can."""
    if len(canonical(definition)) > LARGEST_DEFINITION:
        return f"has a definition of more than {LARGEST_DEFINITION} bytes"
    try:
        Draft202012Validator.check_schema(definition["inputSchema"])
    except (SchemaError, KeyError):
        return "has no usable schema"
    return ""


def pins_path(path: Path) -> Path:
    """Where the pinned definitions of the policy in `path` lie."""
    return path.with_suffix(".pins.json")


def read_pins(path: Path) -> dict[str, Definition]:
    """The pinned definitions beside the policy in `path`, by tool; empty when there are none."""
    file = pins_path(path)
    try:
        pins = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PolicyError(f"cannot read {file.name}") from error
    if not isinstance(pins, dict):
        raise PolicyError(f"{file.name} does not hold definitions by tool")
    return pins


def difference(name: str, pinned: Definition | None, offered: Definition | None) -> str:
    """What changed, as a unified diff of the two definitions."""
    lines = difflib.unified_diff(
        _lines(pinned), _lines(offered), f"{name} (pinned)", f"{name} (offered)", lineterm="", n=1
    )
    return "\n".join(lines)


def _lines(definition: Definition | None) -> list[str]:
    if definition is None:
        return []
    return json.dumps(definition, indent=2, sort_keys=True).splitlines()


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 120 else text[:117] + "..."
