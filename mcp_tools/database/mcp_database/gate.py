"""The SQL gate: decides from a statement's syntax tree whether it may reach the database.

It is the first wall, not the only one: the role that runs the statement may read the same tables
and nothing else. What is refused here gets a reason that a model can act on.
"""

import unicodedata
from collections.abc import Collection
from typing import Any

import pgparse

from bulkhead.mcp.tools import ToolError
from mcp_database import attributes
from mcp_database.grammar import (
    FORBIDDEN,
    FUNCTIONS,
    NODE,
    NODES,
    PLAIN,
    SYSTEM_COLUMNS,
    TYPES,
    VALUE_FUNCTIONS,
)

MAX_CHARACTERS = 8192
MAX_DEPTH = 100
MAX_PARAMETERS = 50

Scope = frozenset[str]
"""Names of the `WITH` queries that a table name can mean at one place of a statement."""


class Refused(ToolError):
    """The statement may not run; the message says which rule it breaks."""


class Gate:
    """Lets one SELECT over the named tables through, and nothing else."""

    def __init__(self, tables: Collection[tuple[str, str]]) -> None:
        """`tables` are pairs of schema and table; a statement may leave the schema out."""
        self._qualified = frozenset(tables)
        self._bare = frozenset(name for _, name in tables)

    def check(self, sql: str) -> None:
        """Raise `Refused` unless `sql` is one statement made of allowed parts alone."""
        _check_text(sql)
        try:
            statements = pgparse.parse(sql)
        except pgparse.PGQueryError as error:
            raise Refused(f"the SQL cannot be parsed: {error.message}") from error
        except RecursionError as error:
            raise Refused("the SQL is nested too deeply; write it flatter") from error
        if len(statements) != 1:
            raise Refused(f"send exactly one statement, not {len(statements)}")
        statement = statements[0]["stmt"]
        if list(statement) != ["SelectStmt"]:
            raise Refused("only SELECT is allowed; this server reads and changes nothing")
        self._node(statement, frozenset(), 0)
        if attributes.unnamed(statement):
            raise Refused("give each value in FROM a name: FROM current_date AS today")
        for name in attributes.calls(statement):
            raise Refused(
                f"what has no column {_shown(name)} would call it; write functions as f(x), and"
                " fields of composite values not at all"
            )

    def _node(self, value: Any, scope: Scope, depth: int) -> None:
        """Check a wrapped node, or each of a list; `{}` stands for nothing."""
        for one in value if isinstance(value, list) else [value]:
            for name, fields in one.items():
                self._fields(name, fields, scope, depth + 1)

    def _fields(self, name: str, fields: dict[str, Any], scope: Scope, depth: int) -> None:
        """Check the fields of a node by what the grammar says that they hold."""
        allowed = NODES.get(name)
        if allowed is None:
            raise Refused(_forbidden(name))
        if depth > MAX_DEPTH:
            raise Refused(f"the SQL is nested deeper than {MAX_DEPTH} levels; write it flatter")
        self._check(name, fields, scope)
        for field, value in fields.items():
            kind = PLAIN if field == "location" else allowed.get(field)
            if kind is None:
                raise Refused(_forbidden(field, name))
            if kind == "WithClause":
                scope = self._with(value, scope, depth)
        for field, value in fields.items():
            kind = allowed.get(field, PLAIN)
            if kind == NODE:
                self._node(value, scope, depth)
            elif kind == PLAIN:
                if isinstance(value, (dict, list)):
                    raise Refused(_forbidden(field, name))
            elif kind != "WithClause":
                self._fields(kind, value, scope, depth + 1)

    def _with(self, clause: dict[str, Any], scope: Scope, depth: int) -> Scope:
        """Check the `WITH` queries, each in the scope PostgreSQL gives it; the scope after them.

        Without RECURSIVE a query sees those before it only, so that `WITH secret AS (SELECT *
        FROM secret)` reads the table.
        """
        queries = [one["CommonTableExpr"] for one in clause["ctes"]]
        after = scope | {one["ctename"] for one in queries}
        if clause.get("recursive"):
            scope = after
        for one in queries:
            self._fields("CommonTableExpr", one, scope, depth + 1)
            scope |= {one["ctename"]}
        return after

    def _check(self, name: str, fields: dict[str, Any], scope: Scope) -> None:
        """The rules that look at what a node says and not at how it is built."""
        if name == "RangeVar":
            self._check_table(fields, scope)
        elif name == "FuncCall":
            _check_function(_words(fields["funcname"]))
        elif name == "TypeName":
            _check_type(_words(fields.get("names", [])))
        elif name == "A_Expr":
            _check_operator(_words(fields["name"]))
        elif name == "SubLink":
            _check_operator(_words(fields.get("operName", [])))
        elif name == "ColumnRef":
            _check_columns(_words(fields["fields"]))
        elif name == "A_Indirection":
            _check_columns(["", *_words(fields["indirection"])])
        elif name == "SQLValueFunction" and fields["op"] not in VALUE_FUNCTIONS:
            raise Refused("names of roles and schemas cannot be asked for")
        elif name == "ParamRef" and not 1 <= fields.get("number", 0) <= MAX_PARAMETERS:
            raise Refused(f"parameters are written $1 to ${MAX_PARAMETERS}")

    def _check_table(self, fields: dict[str, Any], scope: Scope) -> None:
        schema, table = fields.get("schemaname"), fields["relname"]
        if schema is None and (table in scope or table in self._bare):
            return
        if schema is not None and (schema, table) in self._qualified:
            return
        known = ", ".join(sorted(f"{schema}.{name}" for schema, name in self._qualified))
        raise Refused(f"there is no table {_shown(table)} here; the tables are: {known}")


def _check_text(sql: str) -> None:
    """Refuse what two readers could read differently, before any of them does."""
    if len(sql) > MAX_CHARACTERS:
        raise Refused(f"the SQL is longer than {MAX_CHARACTERS} characters; write a shorter query")
    if any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\t\n\r" for one in sql):
        raise Refused("the SQL holds control characters; send plain text")


def _words(nodes: list[dict[str, Any]]) -> list[str]:
    """The texts of a list of String nodes; other nodes in it are skipped."""
    return [one["String"].get("sval", "") for one in nodes if "String" in one]


def _of_postgres(words: list[str]) -> str | None:
    """The name, where it is unqualified or PostgreSQL's own, and else None."""
    return words[-1] if len(words) == 1 or (len(words), words[0]) == (2, "pg_catalog") else None


def _check_function(words: list[str]) -> None:
    if _of_postgres(words) not in FUNCTIONS:
        allowed = ", ".join(sorted(FUNCTIONS))
        raise Refused(
            f"the function {_shown('.'.join(words))} is not allowed; allowed are: {allowed}"
        )


def _check_type(words: list[str]) -> None:
    if _of_postgres(words) not in TYPES:
        allowed = ", ".join(sorted(TYPES))
        raise Refused(f"a cast to {_shown('.'.join(words))} is not allowed; allowed are: {allowed}")


def _check_operator(words: list[str]) -> None:
    if words and _of_postgres(words) is None:
        raise Refused("operators of other schemas are not allowed")


def _check_columns(words: list[str]) -> None:
    """System columns, and `row.function`, which calls a function without the look of a call."""
    for word in words:
        if word in SYSTEM_COLUMNS:
            raise Refused(f"the system column {word} cannot be read")
    if words and words[-1].startswith("pg_"):
        raise Refused("names that begin with pg_ belong to PostgreSQL and cannot be read")


def _forbidden(name: str, inside: str = "") -> str:
    why = FORBIDDEN.get(name)
    if why is not None:
        return f"{why}; only plain SELECT is allowed"
    return f"this form of SQL is not allowed ({inside + '.' if inside else ''}{name})"


def _shown(name: str) -> str:
    """A name as it came, short enough for a message."""
    return repr(name if len(name) <= 63 else name[:60] + "…")
