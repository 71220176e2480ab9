"""Every test that a page names is there, so no promise rests on one that was renamed or removed."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for folder in (".", "docs", "services", "mcp_tools")
    for page in (ROOT / folder).glob("*.md" if folder in (".", "docs") else "*/README.md")
)


def defined() -> set[str]:
    """Names of test functions, and of the classes that pytest collects (`TestX`)."""
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign):
                names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+|Test\w+)`", text))
    assert named <= defined()
    for path in set(re.findall(r"`(tests/[\w/.-]+)`", text)):
        assert (ROOT / path).exists(), path


def test_every_row_of_the_walls_names_a_test() -> None:
    """A row of security.md under `| wall | test |` or `| promise | test |` names at least one."""
    rows, inside = [], False
    for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines():
        inside = line in ("| wall | test |", "| promise | test |") or (inside and line[:1] == "|")
        if inside:
            rows.append(line)
    checked = [row for row in rows if row.count("---") == 0 and not row.endswith("| test |")]
    assert len(checked) > 100
    for row in checked:
        assert re.search(r"`(test_\w+|Test\w+|tests/[\w/.-]+|scripts/[\w/]+\.py)`", row), row
