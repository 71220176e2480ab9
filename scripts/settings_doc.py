"""Writes docs/settings.md from the services' settings classes; with `--check`, compares only.

Exit codes: 0 all is well, 1 `--check` found the page out of date.
"""

import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import HttpUrl
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from bulk.settings import BulkSettings
from bulkhead.mcp.settings import ToolServerSettings
from bulkhead.model_servers import ModelServers
from bulkhead.telemetry.setup import TelemetrySettings
from embedded.parts import ROOT
from embedding.settings import EmbeddingSettings
from example_documents.settings import ExamplesSettings
from fetcher.settings import FetcherSettings
from llm_server.settings import LLMSettings
from parser.settings import ParserSettings
from quality.settings import QualitySettings
from retriever.settings import RetrieverSettings

PAGE = ROOT / "docs" / "settings.md"


def tool_servers() -> dict[str, type[ToolServerSettings]]:
    """The settings of each tool server of this repository, by the title of their table."""
    found = {}
    for file in sorted((ROOT / "mcp_tools").glob("*/mcp_*/settings.py")):
        module = import_module(f"{file.parent.name}.settings")
        (owner,) = (
            one
            for one in vars(module).values()
            if isinstance(one, type)
            and issubclass(one, ToolServerSettings)
            and one.__module__ == module.__name__
        )
        found[f"Tool server {file.parents[1].name}"] = owner
    return found


SERVICES: dict[str, type[BaseSettings]] = {
    "Retriever": RetrieverSettings,
    "Parser": ParserSettings,
    "Embedding": EmbeddingSettings,
    "Model server, llama.cpp": LLMSettings,
    **tool_servers(),
    "Model fetcher": FetcherSettings,
    "Examples of the compose stack": ExamplesSettings,
    "Quality": QualitySettings,
    "Bulk ingestion": BulkSettings,
    "Telemetry of every service": TelemetrySettings,
}

# What a default is that is found at start: its value belongs to one machine.
COMPUTED = {
    "EMBEDDING_MODEL": "the bundled model, all-MiniLM-L6-v2",
    "EMBEDDING_MODEL_ID": "the model's own name",
    "LLM_THREADS": "the cores at hand",
    "MCP_BRIDGE_FOLDER": "the folder for temporary files",
    "MCP_DATABASE_QUERIES_FILE": "the queries of the sample database",
    "QUALITY_CANARIES": "the bundled questions about the demo's documents",
}

_KINDS = {
    str: "text",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    Path: "path",
    HttpUrl: "address",
}
_BOUNDS = (
    ("at least", Ge, "ge"),
    ("above", Gt, "gt"),
    ("at most", Le, "le"),
    ("below", Lt, "lt"),
)

_HEAD = """\
# Settings

Every setting of a service is an environment variable. Its prefix names the service: `RETRIEVER_`,
`PARSER_`, `EMBEDDING_`, `LLM_`, `FETCHER_`, `EXAMPLES_`, `QUALITY_` or `MCP_…_`; those with
`OTEL_` are OpenTelemetry's own, and every service reads them. A service reads its settings once,
when it starts. A value outside its type or bounds ends the start with one line that names the
variable.

`make serve` and `make demo` hand their environment on to the services, so
`RETRIEVER_SOURCE_TOKENS=1200 make serve` works. They set `RETRIEVER_DATA_DIR` and
`RETRIEVER_API_KEY_FILE` themselves: the variable `BULKHEAD_DATA` moves the whole state folder,
which is `.data` by default.
Relative paths are taken from the folder in which a service is started.

This page is written by `python scripts/settings_doc.py` from the settings classes. Do not edit it.
"""


def page() -> str:
    """The whole page. Raises `ValueError` for a computed default that has no words."""
    return "\n".join([_HEAD, *(_section(title, owner) for title, owner in SERVICES.items())])


def _section(title: str, owner: type[BaseSettings]) -> str:
    rows = [
        f"| `{name}` | {kind(field)} | {default(name, field)} | {_cell(field.description or '')} |"
        for name, field in variables(owner)
    ]
    head = ["| variable | type | default | what it does |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *head, *rows, ""])


def variables(owner: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Each setting by the name of its environment variable."""
    prefix = owner.model_config.get("env_prefix", "")
    for name, field in owner.model_fields.items():
        yield f"{prefix}{name}".upper(), field


def kind(field: FieldInfo) -> str:
    """A setting's type and bounds in plain words."""
    annotation = _without_none(field.annotation)
    if annotation == ModelServers:
        return "address, or JSON list"
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) in (dict, list):
        return "JSON object" if get_origin(annotation) is dict else "JSON list"
    if get_origin(annotation) is tuple:
        return "addresses, with commas between"
    return _KINDS[annotation] + _bounds(field.metadata)


def default(name: str, field: FieldInfo) -> str:
    """A setting's default as the page shows it; one found at start is told in words.

    Raises `ValueError` where those words are missing.
    """
    if field.default_factory is not None:
        if name not in COMPUTED:
            raise ValueError(f"{name} has a computed default: say in COMPUTED what it is")
        return COMPUTED[name]
    if field.is_required():
        return "none, it must be set"
    if field.default is None or field.default == "":
        return "none"
    shown = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
    mebibytes, rest = divmod(field.default, 2**20) if name.endswith("_BYTES") else (0, 0)
    return f"{shown} ({mebibytes} MiB)" if mebibytes and not rest else shown


def _without_none(annotation: Any) -> Any:
    """The type inside `X | None`; the default says that it may be left out."""
    if get_origin(annotation) in (Union, types.UnionType):
        inside = [one for one in get_args(annotation) if one is not types.NoneType]
        return inside[0] if len(inside) == 1 else annotation
    return annotation


def _bounds(metadata: list[Any]) -> str:
    told: dict[str, Any] = {}
    for one in metadata:
        for words, bound, sign in _BOUNDS:
            if isinstance(one, bound):
                told[words] = getattr(one, sign)
    if told.keys() >= {"at least", "at most"}:
        return f", {told['at least']} to {told['at most']}"
    return "".join(f", {words} {limit}" for words, limit in told.items())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; 1 if it differs.")] = False,
) -> None:
    """Write docs/settings.md, or with --check see whether it is current."""
    written = page()
    if not check:
        PAGE.write_text(written, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != written:
        typer.echo("docs/settings.md is out of date: run python scripts/settings_doc.py", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
