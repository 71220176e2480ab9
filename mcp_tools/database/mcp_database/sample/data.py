"""The rows of the sample database: what the demo's documents say, and a plausible rest.

Always the same: one seed, and no clock. `examples/source` tells the same story in words, so a
question can need both. tests/unit/mcp_database/test_sample.py compares the two.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

Row = tuple[object, ...]

SEED = 4417
FIRST_MONTH = date(2023, 1, 1)
LAST_DAY = date(2026, 10, 31)
DEPLOYMENTS = 7_500
COSTS = 12_000  # review INC-116: deployments times costs made 90 million rows

TENANTS = ("pilotage", "customs", "ferries", "yard")
ENGINEERS = (
    "Søren Aagaard", "Priya Raman", "Tomasz Wójcik", "Inés Carvalho", "Jürgen Krauß",
)  # fmt: skip
OWNERS = {
    "pilotage": "Þóra Jónsdóttir",
    "customs": "Bertrand Léger",
    "ferries": "Maja Öberg",
    "yard": "Günter Weiß",
}
ASK = 1
"""The id of the service ask-the-harbour."""

_ASK_PARTS = (
    ("retriever", "keel-01", 8080, 1, "the public API: questions, search, documents"),
    ("embedding", "keel-01", 8081, 2, "turns text into vectors, and reranks passages"),
    ("llm", "keel-01", 8000, 1, "the language model, served by vLLM"),
    ("mcp-filesystem", "keel-01", 8090, 3, "tool server for read-only files"),
    ("mcp-database", "keel-01", 8091, 3, "tool server for read-only SQL"),
    ("qdrant", "keel-01", 6333, 1, "stores the vectors"),
    ("postgres", "keel-01", 5432, 3, "stores the operations database"),
    ("nginx", "keel-01", 8443, 1, "accepts TLS and passes requests on"),
    ("arkivet-sync", "keel-01", None, 2, "copies new and changed documents every night"),
    ("quality", "keel-01", None, 2, "asks known questions and scores answers"),
    ("prometheus", "keel-01", 9090, 2, "keeps the metrics"),
    ("grafana", "keel-01", 3000, 3, "shows metrics and traces"),
    ("alertmanager", "keel-01", 9093, 2, "sends alerts to lantern-01"),
    ("tempo", "keel-01", 3200, 3, "keeps the traces"),
    ("otel-collector", "keel-01", 4317, 3, "collects traces, metrics and logs"),
    ("backup", "anchor-01", None, 2, "pulls the nightly backup"),
    ("status-page", "lantern-01", 443, 2, "status page and webhooks"),
)
_SHARED = (
    ("arkivet", "dock-01", 443, 1, "document archive of the harbour"),
    ("tresor", "dock-02", 443, 1, "password vault"),
    ("network-desk", "dock-02", None, 1, "fibre, DNS and firewalls"),
    ("platform-security", "dock-02", None, 2, "security tests and briefings"),
)
_DEPARTMENTS = {
    "pilotage": "berth-plan tide-table pilot-rota vessel-traffic radar-archive depth-survey"
    " weather-feed tug-orders harbour-radio mooring-log",
    "customs": "tariff-desk declarations seal-register import-ledger export-ledger duty-invoices"
    " cargo-scans inspections bonded-stock hazard-list",
    "ferries": "booking timetable ticket-gate crew-rota fare-tables deck-plan"
    " passenger-counts freight-booking lost-property kiosk",
    "yard": "dry-dock crane-log spare-parts work-orders paint-shop weld-records"
    " tool-store yard-gate hull-survey shore-power",
}


def services() -> list[Row]:
    """id, tenant, name, part_of, host, port, tier, owner, since, description."""
    chance = random.Random(SEED)  # noqa: S311  # a story, not a secret
    rows: list[Row] = [
        (ASK, "shared", "ask-the-harbour", None, "keel-01", 8443, 1, "Zoë Lindqvist",
         date(2025, 11, 3), "answers questions from documents, with citations")
    ]  # fmt: skip
    for number, (name, host, port, tier, text) in enumerate(_ASK_PARTS):
        owner = ENGINEERS[number % len(ENGINEERS)]
        rows.append((len(rows) + 1, "shared", name, ASK, host, port, tier, owner,
                     date(2025, 10, 6), text))  # fmt: skip
    for name, host, port, tier, text in _SHARED:
        rows.append((len(rows) + 1, "shared", name, None, host, port, tier, "Zoë Lindqvist",
                     FIRST_MONTH, text))  # fmt: skip
    for tenant in TENANTS:
        for name in _DEPARTMENTS[tenant].split():
            rows.append((len(rows) + 1, tenant, name, None, f"dock-{chance.randint(3, 9):02}",
                         chance.randint(9000, 9999), chance.randint(1, 3), OWNERS[tenant],
                         FIRST_MONTH, f"{name.replace('-', ' ')} of the {tenant}"))  # fmt: skip
    return rows


# Reviewed in examples/source/incident-reviews-2026.docx.md; SEV3 incidents get no review.
_INCIDENTS_2026 = (
    (101, "qdrant", "SEV2", "the full disk", "01-14 03:40", 112,
     "disk filled by old snapshots", "Priya Raman"),
    (102, "grafana", "SEV3", "dashboards without data", "01-29 10:05", 25,
     "data source renamed", "Tomasz Wójcik"),
    (103, "arkivet-sync", "SEV3", "the nightly job ran twice", "02-12 01:30", 40,
     "two timers for one job", "Jürgen Krauß"),
    (104, "llm", "SEV2", "the model that did not fit", "03-04 13:25", 47,
     "GPU memory over-committed", "Tomasz Wójcik"),
    (105, "tempo", "SEV3", "traces missing for a morning", "03-23 07:15", 190,
     "wrong retention after a restart", "Priya Raman"),
    (106, "status-page", "SEV3", "an old notice on the status page", "04-07 12:00", 65,
     "notice had no end date", "Søren Aagaard"),
    (107, "embedding", "SEV2", "the drill that failed", "04-22 09:00", 190,
     "model revision differed on standby", "Inés Carvalho"),
    (108, "alertmanager", "SEV3", "a message sent forty times", "05-19 16:20", 30,
     "grouping of alerts was off", "Tomasz Wójcik"),
    (109, "retriever", "SEV2", "the poisoned data sheet", "06-09 10:04", 31,
     "supplier document with hidden instructions", "Amélie Fournier"),
    (110, "quality", "SEV3", "the canary asked an old question", "06-25 08:45", 55,
     "question set not renewed", "Inés Carvalho"),
    (111, "backup", "SEV3", "the backup note was empty", "07-16 02:40", 20,
     "disk label changed", "Jürgen Krauß"),
    (112, "nginx", "SEV1", "the expired certificate", "08-17 06:00", 38,
     "expired TLS certificate", "Søren Aagaard"),
    (113, "prometheus", "SEV3", "slow graphs after lunch", "09-02 13:10", 75,
     "a query over 30 days", "Priya Raman"),
    (114, "otel-collector", "SEV3", "logs came late", "09-18 11:30", 45,
     "queue too short", "Tomasz Wójcik"),
    (115, "arkivet-sync", "SEV2", "every document twice", "10-05 01:30", 1560,
     "duplicate documents from the nightly sync", "Inés Carvalho"),
    (116, "mcp-database", "SEV2", "the query that would not end", "10-28 15:12", 70,
     "heavy SQL blocked the database tool", "Jürgen Krauß"),
)  # fmt: skip
_CAUSES = (
    "full disk", "expired password", "wrong setting after a change", "network cable",
    "driver fault", "power cut in one room", "update of a library", "too many requests",
)  # fmt: skip


def incidents() -> list[Row]:
    """id, tenant, service_id, severity, title, started_at, ended_at, cause, handled_by."""
    chance = random.Random(SEED + 1)  # noqa: S311
    ids = {row[2]: row[0] for row in services()}
    # The service whose incidents these are opened in November 2025.
    others = [row for row in services() if row[3] is None and row[0] != ASK]
    days = sorted(chance.sample(range((date(2026, 1, 1) - FIRST_MONTH).days), 100))
    rows: list[Row] = []
    for number, day in enumerate(days, 1):
        service = chance.choice(others)
        severity = chance.choices(("SEV1", "SEV2", "SEV3"), (1, 5, 14))[0]
        start = _at(FIRST_MONTH + timedelta(day), chance.randrange(24), chance.randrange(60))
        end = start + timedelta(minutes=chance.randint(10, 400))
        cause = chance.choice(_CAUSES)
        rows.append((f"INC-{number:03}", service[1], service[0], severity,
                     f"{service[2]}: {cause}", start, end, cause,
                     chance.choice(ENGINEERS)))  # fmt: skip
    for number, name, severity, title, when, minutes, cause, who in _INCIDENTS_2026:
        start = datetime.strptime(f"2026-{when}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        rows.append((f"INC-{number}", "shared", ids[name], severity, title, start,
                     start + timedelta(minutes=minutes), cause, who))  # fmt: skip
    return rows


# release, day, engineer, result, incident; see the service review and the incident reviews.
_RELEASES = (
    ("2026.1", date(2026, 2, 4), "Jürgen Krauß", "installed", None),
    ("2026.2", date(2026, 3, 4), "Tomasz Wójcik", "rolled back", "INC-104"),
    ("2026.3", date(2026, 3, 18), "Tomasz Wójcik", "installed", None),
    ("2026.4", date(2026, 5, 13), "Inés Carvalho", "installed", None),
    ("2026.5", date(2026, 7, 1), "Priya Raman", "installed", None),
    ("2026.6", date(2026, 7, 29), "Søren Aagaard", "installed", None),
    ("2026.7", date(2026, 9, 9), "Tomasz Wójcik", "installed", None),
    ("2026.8", date(2026, 9, 23), "Inés Carvalho", "rolled back", None),
    ("2026.9", date(2026, 10, 14), "Priya Raman", "installed", None),
)


@dataclass(frozen=True)
class _Deployment:
    tenant: str
    service_id: int
    release: str
    host: str
    engineer: str
    start: datetime
    minutes: int
    result: str
    incident: str | None = None


def deployments() -> list[Row]:
    """id, tenant, service_id, release, host, engineer, started_at, finished_at, result,
    incident_id; in the order in which they started."""
    chance = random.Random(SEED + 2)  # noqa: S311
    made = list(_releases())
    others = [row for row in services() if row[3] is None and row[0] != ASK]
    wednesdays = [
        day
        for day in (FIRST_MONTH + timedelta(n) for n in range((LAST_DAY - FIRST_MONTH).days))
        if day.weekday() == 2 and not _frozen(day)
    ]
    while len(made) < DEPLOYMENTS:
        service, day = chance.choice(others), chance.choice(wednesdays)
        result = chance.choices(("installed", "rolled back", "failed"), (93, 5, 2))[0]
        start = _at(day, 13, chance.randrange(105))
        made.append(
            _Deployment(str(service[1]), _int(service[0]), f"{day.year}.{day.month}",
                        str(service[4]), chance.choice(ENGINEERS), start,
                        chance.randint(2, 14), result)
        )  # fmt: skip
    made.sort(key=lambda one: (one.start, one.service_id, one.host))
    return [
        (number, one.tenant, one.service_id, one.release, one.host, one.engineer, one.start,
         one.start + timedelta(minutes=one.minutes), one.result, one.incident)
        for number, one in enumerate(made, 1)
    ]  # fmt: skip


def _releases() -> Iterator[_Deployment]:
    """The releases of ask-the-harbour: staging two days before, standby an hour before."""
    for release, day, engineer, result, incident in _RELEASES:
        final = _at(day, 14, 0)
        if release == "2026.2":
            final = _at(day, 13, 25)  # review INC-104: without the standby first, until 14:03
        minutes = {"2026.2": 38, "2026.8": 25}.get(release, 8)
        yield _Deployment("shared", ASK, release, "rudder-01", engineer,
                          final - timedelta(days=2), 8, "installed")  # fmt: skip
        if release != "2026.2":
            yield _Deployment("shared", ASK, release, "keel-02", engineer,
                              final - timedelta(hours=1), 8, "installed")  # fmt: skip
        yield _Deployment("shared", ASK, release, "keel-01", engineer, final, minutes, result,
                          incident)  # fmt: skip


# The service review of the third quarter: 3,980 euros a month.
_ASK_COSTS = (
    ("lease of keel-01", 1180), ("lease of keel-02", 1180), ("lease of rudder-01", 240),
    ("lease of anchor-01", 310), ("power and cooling", 420), ("support by vendors", 650),
)  # fmt: skip
_POWER_BEFORE_Q3 = 360
_ITEMS = ("lease", "power and cooling", "support by vendors", "licences", "storage", "network")


def costs() -> list[Row]:
    """id, tenant, service_id, month, item, amount, deployment_id; in the order of months."""
    chance = random.Random(SEED + 3)  # noqa: S311
    made: list[tuple[str, int, date, str, Decimal, int | None]] = []
    for month in _months():
        if month >= date(2025, 11, 1):
            for item, euros in _ASK_COSTS:
                if item == "power and cooling" and month < date(2026, 7, 1):
                    euros = _POWER_BEFORE_Q3
                made.append(("shared", ASK, month, item, Decimal(euros), None))
    others = [row for row in services() if row[3] is None and row[0] != ASK]
    tester = next(row for row in others if row[2] == "platform-security")
    made.append(("shared", _int(tester[0]), date(2026, 9, 1), "security test by Klippfisk",
                 Decimal(7800), None))  # fmt: skip
    for deployment in deployments():
        if deployment[8] == "failed":
            started = deployment[6]
            assert isinstance(started, datetime)
            made.append((str(deployment[1]), _int(deployment[2]), started.date().replace(day=1),
                         "repair", _euros(chance, 40, 900), _int(deployment[0])))  # fmt: skip
    places = [(row, month, item) for row in others for month in _months() for item in _ITEMS]
    for row, month, item in sorted(
        chance.sample(places, COSTS - len(made)), key=lambda place: place[1]
    ):
        made.append((str(row[1]), _int(row[0]), month, item, _euros(chance, 15, 700), None))
    made.sort(key=lambda one: (one[2], one[1], one[3]))
    return [(number, *one) for number, one in enumerate(made, 1)]


def _months() -> list[date]:
    return [
        date(year, month, 1)
        for year in range(FIRST_MONTH.year, LAST_DAY.year + 1)
        for month in range(1, 13)
        if date(year, month, 1) <= LAST_DAY
    ]


def _frozen(day: date) -> bool:
    """The yearly freeze: no releases from 15 December to 6 January."""
    return (day.month, day.day) >= (12, 15) or (day.month, day.day) <= (1, 6)


def _at(day: date, hour: int, minute: int) -> datetime:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight + timedelta(hours=hour, minutes=minute)


def _euros(chance: random.Random, low: int, high: int) -> Decimal:
    return Decimal(chance.randint(low * 100, high * 100)) / 100


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
