"""A tool's structured result as text that can be read, checked and quoted line by line."""

import json
from typing import Any


def render(value: Any) -> str:
    """`value` as text: a table by rows, a list by items, long text as it is."""
    if isinstance(value, dict):
        columns, rows = value.get("columns"), value.get("rows")
        if isinstance(columns, list) and isinstance(rows, list):
            rest = {key: part for key, part in value.items() if key not in ("columns", "rows")}
            return "\n".join(filter(None, [*_rows(columns, rows), render(rest)]))
        return "\n".join(_field(key, part) for key, part in value.items() if part is not None)
    if isinstance(value, list):
        return "\n".join(f"- {_line(item)}" for item in value)
    return _line(value)


def _rows(columns: list[Any], rows: list[Any]) -> list[str]:
    names = [column.get("name") if isinstance(column, dict) else column for column in columns]
    return [
        f"- {_pairs(dict(zip(map(str, names), row, strict=False)))}"
        if isinstance(row, list)
        else f"- {_line(row)}"
        for row in rows
    ]


def _field(key: str, value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return f"{key}:\n{value}"
    if isinstance(value, list) and value:
        return f"{key}:\n{render(value)}"
    if isinstance(value, dict) and "rows" in value:
        return f"{key}:\n{render(value)}"
    return f"{key}: {_line(value)}"


def _line(value: Any) -> str:
    """On one line, but for what is text of several."""
    if isinstance(value, dict):
        return _pairs(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _pairs(value: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {_line(part)}" for key, part in value.items() if part is not None)
