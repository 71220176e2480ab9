"""The rule files, for tests."""

from typing import Any

import yaml

from monitoring.generate import OBSERVABILITY

RULES = sorted((OBSERVABILITY / "prometheus/rules").glob("*.yml"))


def rules() -> list[dict[str, Any]]:
    """All rules, in order."""
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}
