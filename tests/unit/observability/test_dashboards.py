"""Each dashboard is as its Python says, and each panel tells what it shows, in which unit."""

import re
from typing import Any

import pytest

from monitoring.boards import BOARDS
from monitoring.generate import OBSERVABILITY, generated
from monitoring.panels import PROMETHEUS, Board, Panel
from monitoring.slo import OBJECTIVES, Objective, thresholds

PANELS = [
    pytest.param(board, panel, id=f"{board.uid}: {panel.title}")
    for board in BOARDS
    for panel in board.panels()
]


def test_the_committed_files_are_those_that_the_generator_writes() -> None:
    stale = [
        path.name
        for path, text in generated().items()
        if not path.exists() or path.read_text() != text
    ]
    assert stale == [], "run scripts/monitoring/generate.py"


def test_no_dashboard_lies_around_that_nothing_generates() -> None:
    found = set((OBSERVABILITY / "grafana/dashboards").glob("*"))
    assert found == {path for path in generated() if path.suffix == ".json"}


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_has_a_unit_and_one_sentence(board: Board, panel: Panel) -> None:
    assert panel.unit
    assert re.fullmatch(r"[A-Z](?!.*\. ).*\.", panel.says), panel.says


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_counter_is_shown_as_a_rate_and_never_since_its_beginning(
    board: Board, panel: Panel
) -> None:
    for expr in panel.queries.values():
        counters = re.findall(r"\w+_(?:total|bucket|sum|count)\b(?:\{[^}]*\})?(\S?)", expr)
        assert all(after == "[" for after in counters), expr


def test_the_titles_of_a_dashboards_panels_are_distinct() -> None:
    for board in BOARDS:
        titles = [panel.title for panel in board.panels()]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_grafanas_json_holds_every_panel_with_its_source(board: Board) -> None:
    panels = [panel for panel in _flat(board.model()["panels"]) if panel["type"] != "row"]
    assert [panel["title"] for panel in panels] == [panel.title for panel in board.panels()]
    for made, meant in zip(panels, board.panels(), strict=True):
        assert made["datasource"]["uid"] == PROMETHEUS
        assert made["fieldConfig"]["defaults"]["unit"] == meant.unit
        assert [target["expr"] for target in made["targets"]] == list(meant.queries.values())
    ids = [panel["id"] for panel in panels if "id" in panel]
    assert len(set(ids)) == len(ids)


def test_every_variable_is_used() -> None:
    for board in BOARDS:
        exprs = " ".join(expr for panel in board.panels() for expr in panel.queries.values())
        for variable in board.variables:
            assert f"${variable.name}" in exprs


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_an_alert_has_no_threshold_that_cannot_be_passed(objective: Objective) -> None:
    assert thresholds(objective)
    assert all(0 < threshold < 1 for _, threshold in thresholds(objective))


def _flat(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for panel in panels for one in (panel, *_flat(panel.get("panels") or []))]
