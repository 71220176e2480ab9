"""Every key of what cannot be run here stands in a table of what its program reads.

The tables are in `shapes/`, each with the version and the documents that it was written from. They
find a key that is misspelt or made up, and a value of the wrong kind; that a program does what its
documents say is for the program to show.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_file import ROOT, environment, rendered, services
from shapes import mistakes

SHAPES = {path.stem: path for path in (Path(__file__).parent / "shapes").glob("*.yaml")}
SERVICES = services(rendered())


def table(name: str) -> Any:
    return yaml.safe_load(SHAPES[name].read_text())


def told(name: str) -> Any:
    """The configuration that a table is of."""
    file = table(name).get("file")
    if file is None:
        variables = environment(SERVICES["grafana"])
        return {key: value for key, value in variables.items() if key.startswith("GF_")}
    return yaml.safe_load((ROOT / file).read_text())


@pytest.mark.parametrize("name", SHAPES)
def test_no_key_is_unknown_and_no_value_of_the_wrong_kind(name: str) -> None:
    assert list(mistakes(told(name), table(name)["shape"])) == []


@pytest.mark.parametrize("name", SHAPES)
def test_a_table_is_of_the_version_that_runs(name: str) -> None:
    """A newer image fails here, so that its documents are read again."""
    images = {service["image"].partition("@")[0] for service in SERVICES.values()}
    assert table(name)["image"] in images and table(name)["source"]


def test_every_configuration_of_a_foreign_program_has_a_table() -> None:
    read = {"prometheus/rules", "grafana/dashboards", "prometheus/embedded.yml"}  # by real programs
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "observability").rglob("*.y*ml")
        if not any(f"observability/{one}" in str(path) for one in read)
    }
    assert files == {file for name in SHAPES if (file := table(name).get("file"))}


Change = Callable[[Any], object]

BROKEN: list[tuple[str, Change, str]] = [
    ("otel-collector", lambda c: c["processors"]["batch"].update(send_batch_sise=1), "unknown"),
    ("otel-collector", lambda c: c["exporters"].update({"otlphttp/x": {}}), "unknown"),
    ("otel-collector", lambda c: c["processors"]["memory_limiter"].clear(), "missing"),
    (
        "otel-collector",
        lambda c: c["exporters"]["otlp_http/tempo"]["sending_queue"].update(sizer="spans"),
        "requests | items | bytes",
    ),
    (
        "otel-collector",
        lambda c: c["processors"]["redaction"]["blocked_values"].append("(?=x)"),
        "regex",
    ),
    ("otel-collector", lambda c: c["processors"]["batch"].update(timeout=1), "duration"),
    ("tempo", lambda c: c["compactor"].update(block_retention="1h"), "unknown"),
    ("tempo", lambda c: c["ingester"].update(max_block_duration="5 minutes"), "duration"),
    ("alertmanager", lambda c: c["route"].update(group_wait=30), "span"),
    ("prometheus", lambda c: c["otlp"].update(translation_strategy="Underscores"), "NoTranslation"),
    ("grafana-datasources", lambda c: c["datasources"][0].pop("uid"), "missing"),
    ("grafana-dashboards", lambda c: c.update(providers={}), "no list"),
    ("grafana-environment", lambda c: c.update(GF_SECURITY_ADMINPASSWORD="x"), "unknown"),
    ("grafana-environment", lambda c: c.update(GF_METRICS_ENABLED="yes"), "flag"),
]


@pytest.mark.parametrize(("name", "change", "said"), BROKEN)
def test_a_mistake_is_found(name: str, change: Change, said: str) -> None:
    config = copy.deepcopy(told(name))
    change(config)
    (found,) = mistakes(config, table(name)["shape"])
    assert said in found


def test_grafana_takes_no_dollar_of_ours_for_a_variable_of_its_environment() -> None:
    """It expands `$name` in provisioning files; `$$` stands for a dollar."""
    for name in ("grafana-datasources", "grafana-dashboards"):
        assert "$" not in json.dumps(told(name)).replace("$$", "")


def test_what_the_collector_compares_fits_together() -> None:
    """What its `Validate` functions ask of several keys at once, and its documents advise."""
    processors = told("otel-collector")["processors"]
    limiter, batch = processors["memory_limiter"], processors["batch"]
    assert limiter["spike_limit_percentage"] < limiter["limit_percentage"]
    assert batch["send_batch_max_size"] >= batch["send_batch_size"]
    sampling = processors["tail_sampling"]
    for size in sampling["decision_cache"].values():  # an order of magnitude above num_traces
        assert size >= 10 * sampling["num_traces"]
    assert [set(policy) for policy in sampling["policies"]] == [
        {"name", "type", policy["type"]} for policy in sampling["policies"]
    ]
