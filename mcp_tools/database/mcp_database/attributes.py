"""Attribute notation: `n.f` and `(x).f` call the function, or cast to the type, `f`.

PostgreSQL reads a dot as a call where there is no column of that name. On a row, of a table or a
subquery, that reaches functions that take any row (tests/security lists them). On a single value
it reaches nearly everything, so there `f` has to be a column, or on the gate's lists.
"""

from collections.abc import Iterator
from typing import Any

from mcp_database.grammar import FUNCTIONS, TYPES

Fields = dict[str, Any]
_LISTED = FUNCTIONS | TYPES


def calls(statement: Fields) -> Iterator[str]:
    """Names after a dot, in a statement the gate has walked, that may call what is on no list."""
    columns = _value_columns(statement)
    for name, fields in _nodes(statement):
        if name == "A_Indirection":
            dotted = _words(fields["indirection"])
        elif name == "ColumnRef":
            relation, *dotted = [*_words(fields["fields"]), ""]
            dotted = [] if relation not in columns else dotted[:1]
            dotted = [word for word in dotted if word not in {"", *columns[relation]}]
        else:
            continue
        yield from (word for word in dotted if word not in _LISTED)


def unnamed(statement: Fields) -> bool:
    """Whether FROM holds a value whose name PostgreSQL chooses: `FROM current_date`."""
    return any(
        name == "RangeFunction" and "alias" not in fields and not all(_called(fields))
        for name, fields in _nodes(statement)
    )


def _value_columns(statement: Fields) -> dict[str, frozenset[str]]:
    """The names that functions in FROM go by, each with the columns that it has wherever it stands.

    One name may stand for several, at different places of a statement: what one of them lacks
    would be a call there.
    """
    found: dict[str, frozenset[str]] = {}
    for name, fields in _nodes(statement):
        if name == "RangeFunction":
            alias = fields.get("alias", {})
            functions = [word for word in _called(fields) if word]
            known = alias.get("aliasname") or (functions or [""])[-1]
            own = set(functions) if len(functions) > 1 else {known}
            columns = set(_words(alias.get("colnames", []))) or own
            columns |= {"ordinality"} if fields.get("ordinality") else set()
            found[known] = found.get(known, frozenset(columns)) & columns
    return found


def _called(fields: Fields) -> Iterator[str]:
    """The names of the functions in an item of FROM; empty for what is no call."""
    for one in fields["functions"]:
        (what, *_) = one["List"]["items"]
        yield _words(what["FuncCall"]["funcname"])[-1] if "FuncCall" in what else ""


def _nodes(value: Any) -> Iterator[tuple[str, Fields]]:
    """Every node of a tree, by its name."""
    if isinstance(value, list):
        for one in value:
            yield from _nodes(one)
    elif isinstance(value, dict):
        for name, fields in value.items():
            if isinstance(fields, dict):
                yield name, fields
            yield from _nodes(fields)


def _words(nodes: list[Fields]) -> list[str]:
    return [one["String"].get("sval", "") for one in nodes if "String" in one]
