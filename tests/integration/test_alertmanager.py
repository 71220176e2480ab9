"""Alerts as a real Alertmanager handles them: what is silenced by its cause, and what is sent."""

import json
import queue
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from posts import taking_posts
from prometheus_rules import alerts
from serving import free_port
from stack_processes import running, state

from embedded.address import Address
from embedded.parts import Part
from monitoring.generate import OBSERVABILITY

# Debian's name for it, and everyone else's.
PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
SECONDS = 60
ALERTS = alerts()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Alertmanager is not installed")


class Webhook:
    """Who is sent the alerts, and what came, alert by alert."""

    def __init__(self) -> None:
        self.url = ""
        self._came: queue.Queue[dict[str, Any]] = queue.Queue()

    def add(self, message: dict[str, Any]) -> None:
        assert message["receiver"] == "webhook"
        for alert in message["alerts"]:
            self._came.put(alert)

    def until(self, *names: str, status: str = "firing") -> set[str]:
        """The names of what came until all of these had come."""
        awaited, came = set(names), set()
        while awaited:
            alert = self._came.get(timeout=SECONDS)
            came.add(alert["labels"]["alertname"])
            if alert["status"] == status:
                awaited -= came
        return came


@contextmanager
def listening() -> Iterator[Webhook]:
    webhook = Webhook()
    with taking_posts(lambda body: webhook.add(json.loads(body))) as url:
        webhook.url = f"{url}/"
        yield webhook


def version() -> tuple[int, ...]:
    told = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    assert found is not None
    return tuple(int(part) for part in found.groups())


def hurried(folder: Path, url: str) -> Path:
    """Our configuration, without its patience, and with the secret where this test puts it."""
    config = yaml.safe_load((OBSERVABILITY / "alertmanager/alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "200ms"
    config["route"]["group_interval"] = "1s"
    (receiver,) = config["receivers"]
    (target,) = receiver["webhook_configs"]
    secret = folder / "alert-webhook-url"
    secret.write_text(url)
    target["url_file"] = str(secret)
    if version() < (0, 26):  # it knows no file; compose.yaml's does
        target["url"] = Path(target.pop("url_file")).read_text()
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def labelled(name: str, labels: dict[str, str]) -> dict[str, str]:
    return {"alertname": name, **ALERTS[name]["labels"], **labels}


class Alertmanager:
    def __init__(self, url: str, webhook: Webhook) -> None:
        self.webhook = webhook
        self._client = httpx2.Client(base_url=f"{url}/api/v2", timeout=SECONDS, trust_env=False)

    def fire(self, name: str, labels: dict[str, str], *, ended: bool = False) -> None:
        """An alert with the labels that its rule gives it, and these."""
        end = {"endsAt": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()} if ended else {}
        told = [{"labels": labelled(name, labels), **end}]
        self._client.post("/alerts", json=told).raise_for_status()

    def silenced(self) -> set[str]:
        """Alerts that are held back because of others."""
        active = self._client.get("/alerts").raise_for_status().json()
        return {one["labels"]["alertname"] for one in active if one["status"]["inhibitedBy"]}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with listening() as webhook:
        port = free_port()
        command = (
            str(PROGRAM),
            f"--config.file={hurried(tmp_path, webhook.url)}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        part = Part("alertmanager", command, Address("127.0.0.1", port), "/-/ready", {})
        with running(state(tmp_path / "state"), [part]):
            yield Alertmanager(part.url, webhook)


LAST = "KvCacheFull"
"""Silenced by nothing, and fired when the causes have come: all wait alike, so that what comes of
the storm comes before it."""

STORMS: dict[str, tuple[dict[str, dict[str, str]], set[str]]] = {
    "a part that is down explains what it breaks": (
        {
            "ModelServerDown": {},
            "TargetDown": {"job": "llm"},
            "AvailabilityBurnFast": {},
            "AvailabilityBurnSlow": {},
            "FirstTokenBurnFast": {},
            "CanaryFailing": {},
            "PartDegraded": {},
            "ToolServerFailing": {},
            "CollectorRefusing": {},
        },
        {"ModelServerDown", "ToolServerFailing", "CollectorRefusing"},
    ),
    "its own missing scrape among that": (
        {"IndexDown": {}, "TargetDown": {"job": "qdrant"}, "CanarySilent": {}},
        {"IndexDown"},
    ),
    "and not another part's": (
        {"IndexDown": {}, "TargetDown": {"job": "tempo"}},
        {"IndexDown", "TargetDown"},
    ),
    "who is woken for an objective needs no ticket about it, but about another": (
        {"AvailabilityBurnFast": {}, "AvailabilityBurnSlow": {}, "FirstTokenBurnSlow": {}},
        {"AvailabilityBurnFast", "FirstTokenBurnSlow"},
    ),
    "a ticket silences no page": (
        {"AvailabilityBurnSlow": {}, "AvailabilityBurnFast": {}, "ModelQueueing": {}},
        {"AvailabilityBurnFast", "ModelQueueing"},
    ),
    "without the collector nothing that counts events is true": (
        {
            "TargetDown": {"job": "otel-collector"},
            "ServiceSilent": {"job": "bulkhead/retriever"},
            "CanarySilent": {},
            "EvaluationCoverageLow": {},
            "JudgeBlamesMore": {},
            "DiskAlmostFull": {},
        },
        {"TargetDown", "DiskAlmostFull"},
    ),
    "a full disk explains what cannot be written": (
        {"DiskAlmostFull": {}, "PrometheusFailing": {}, "IngestionFailing": {}, "ToolErrors": {}},
        {"DiskAlmostFull", "ToolErrors"},
    ),
    "saturation explains slowness": (
        {"EmbeddingQueueing": {}, "FirstTokenBurnSlow": {}, "SupportedBurnSlow": {}},
        {"EmbeddingQueueing", "SupportedBurnSlow"},
    ),
}


@pytest.mark.parametrize("storm", STORMS)
def test_causes_are_sent_and_what_follows_from_them_is_not(
    alertmanager: Alertmanager, storm: str
) -> None:
    fired, causes = STORMS[storm]
    for name, labels in fired.items():
        alertmanager.fire(name, labels)
    came = alertmanager.webhook.until(*causes)
    alertmanager.fire(LAST, {})
    assert came | alertmanager.webhook.until(LAST) == {*causes, LAST}
    assert alertmanager.silenced() == set(fired) - causes


def test_what_is_over_is_sent_too(alertmanager: Alertmanager) -> None:
    alertmanager.fire("IndexDown", {})
    alertmanager.webhook.until("IndexDown")
    alertmanager.fire("IndexDown", {}, ended=True)
    alertmanager.webhook.until("IndexDown", status="resolved")


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """What Alertmanager does with matchers of the two kinds that ours are of."""
    for matcher in matchers:
        name, pattern = matcher.replace("=~", "=").split("=", 1)
        if re.fullmatch(pattern.strip('"'), labels.get(name, "")) is None:
            return False
    return True


def test_every_inhibition_silences_something_in_the_storms() -> None:
    config = yaml.safe_load((OBSERVABILITY / "alertmanager/alertmanager.yml").read_text())
    for rule in config["inhibit_rules"]:
        assert any(
            matches(rule["source_matchers"], labelled(cause, fired[cause]))
            and matches(rule["target_matchers"], labelled(name, labels))
            for fired, causes in STORMS.values()
            for cause in causes
            for name, labels in fired.items()
            if name not in causes
        ), rule


@pytest.mark.skipif(not shutil.which("amtool"), reason="Alertmanager's amtool is missing")
def test_amtool_finds_no_fault(tmp_path: Path) -> None:
    file = hurried(tmp_path, "http://127.0.0.1:1/")
    done = subprocess.run(
        ["amtool", "check-config", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
