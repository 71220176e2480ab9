"""`python -m chart.generate`: writes values.schema.json, and the table in the chart's README.

With `--check` it compares only. Exit codes: 0 all is well, 1 `--check` found one out of date.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chart.schema import schema
from chart.values import CHART, Value, values

PAGE = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
BEGIN = "<!-- values: python -m chart.generate -->"
END = "<!-- end of values -->"


def table(told: list[Value]) -> str:
    """A row for each value, by component."""
    rows = []
    for one in told:
        comment = one.comment.replace("|", "\\|")
        rows.append(f"| `{'.'.join(one.path)}` | {_shown(one.default)} | {comment} |")
    return "\n".join(["| value | default | what it does |", "|---|---|---|", *rows])


def _shown(default: Any) -> str:
    if default in ("", [], {}, None):
        return "none"
    text = default if isinstance(default, str) else json.dumps(default, separators=(", ", ": "))
    return f"`{text}`" if len(text) <= 80 else "see values.yaml"


def files() -> dict[Path, str]:
    """Both files as they should be. Raises `ValueError` where the page lacks the table's place."""
    told = values()
    page = PAGE.read_text(encoding="utf-8")
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no {BEGIN} … {END}")
    return {
        SCHEMA: json.dumps(schema(told), indent=1, ensure_ascii=False) + "\n",
        PAGE: f"{head}{BEGIN}\n{table(told)}\n{END}{tail}",
    }


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; 1 if one differs.")
    ] = False,
) -> None:
    """Write both files, or with --check see whether they are current."""
    for path, text in files().items():
        if not check:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            typer.echo(f"{path.name} is out of date: run python -m chart.generate", err=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
