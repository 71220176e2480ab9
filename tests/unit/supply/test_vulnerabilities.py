"""The gate against a feed that knows planted holes."""

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from supply.finding import ROOT
from supply.locks import Locked
from supply.tools import ENVIRONMENT
from supply.vex import Statement, VexError, statements
from supply.vulnerabilities import FeedError, holes

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "bin/pip-audit").exists(), reason="`make gate` has not made .supply"
)
TODAY = datetime.date(2027, 1, 15)
PLANTED = Locked("cranes", "1.0")


def record(name: str, **others: Any) -> dict[str, Any]:
    fixed = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]
    package = {"name": "cranes", "ecosystem": "PyPI"}
    one = {"id": name, "summary": "A hole.", "affected": [{"package": package, "ranges": fixed}]}
    return one | {"database_specific": {"severity": "HIGH"}} | others


@contextmanager
def feed(*records: dict[str, Any], status: int = 200, kept: bool = True) -> Iterator[str]:
    """OSV's API as far as it is asked: `POST /v1/query`, `GET /v1/vulns/{id}`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = asked["package"]["name"] == "cranes" and asked["version"] == "1.0"
            self._say({"vulns": list(records)} if known and records else {})

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            found = [one for one in records if kept and one["id"] == name]
            self._say(found[0] if found else {}, 200 if found else 404)

        def _say(self, body: dict[str, Any], code: int = 200) -> None:
            content = json.dumps(body).encode()
            self.send_response(code if status == 200 else status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def found(address: str, *told: Statement) -> list[str]:
    return [str(one) for one in holes({PLANTED, Locked("berths", "2")}, told, TODAY, address)]


def excuse(**others: Any) -> Statement:
    day = datetime.date(2027, 3, 1)
    given: dict[str, Any] = {
        "vulnerability": "GHSA-1",
        "package": "pkg:pypi/cranes",
        "until": day,
        "file": "a",
    }
    return Statement(**given | others)


def test_a_planted_hole_fails_and_a_statement_passes_it_until_its_end() -> None:
    with feed(record("GHSA-1", aliases=["CVE-2031-1"])) as address:
        assert found(address) == ["cranes 1.0: CVE-2031-1, GHSA-1: mended in 1.1"]
        assert found(address, excuse()) == []
        assert found(address, excuse(vulnerability="CVE-2031-1")) == []
        (late,) = found(address, excuse(until=datetime.date(2027, 1, 14)))
        assert "excused it until 2027-01-14" in late
        assert len(found(address, excuse(package="pkg:pypi/berths"))) == 1
        assert len(found(address, excuse(vulnerability="GHSA-2"))) == 1


def test_only_grave_holes_that_can_be_mended_fail() -> None:
    vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"  # 9.8
    small = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"  # 1.8
    unmended = [{"package": {"name": "cranes", "ecosystem": "PyPI"}, "versions": ["1.0"]}]
    none: dict[str, Any] = {}
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"database_specific": {"severity": "MODERATE"}}, False),
        ({"database_specific": {"severity": "CRITICAL"}}, True),
        ({"database_specific": none, "severity": [{"type": "CVSS_V3", "score": vector}]}, True),
        ({"database_specific": none, "severity": [{"type": "CVSS_V3", "score": small}]}, False),
        ({"database_specific": none, "severity": [{"type": "CVSS_V9", "score": "?"}]}, True),
        ({"database_specific": none}, True),  # nobody has judged it yet
        ({"affected": unmended}, False),
        ({"withdrawn": "2027-01-01T00:00:00Z"}, False),
    ]
    for given, fails in cases:
        with feed(record("GHSA-1", **given)) as address:
            assert bool(found(address)) is fails, given


def test_a_hole_whose_record_is_not_to_be_had_counts_as_grave() -> None:
    with feed(record("GHSA-1"), kept=False) as address:
        assert len(found(address)) == 1


def test_a_feed_that_does_not_answer_is_no_all_clear() -> None:
    with feed(status=500) as address, pytest.raises(FeedError):
        found(address)
    with pytest.raises(FeedError):
        found(address)  # nobody listens there any more


def test_the_command_says_which_check_could_not_be_made(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/gate.py", "--feed", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout
    assert "? vulnerabilities" in done.stdout
    assert "✓ pins" in done.stdout
    assert "✓ secrets and configuration" in done.stdout


STATEMENT: dict[str, Any] = {
    "vulnerability": {"name": "GHSA-1", "aliases": ["CVE-2031-1"]},
    "products": [{"@id": "pkg:pypi/cranes@1.0"}],
    "status": "not_affected",
    "justification": "vulnerable_code_not_in_execute_path",
    "impact_statement": "The crane is never turned.",
    "status_notes": "Until 2027-03-01: the next release of cranes.",
}


def test_statements_are_read_by_name_and_alias(tmp_path: Path) -> None:
    (tmp_path / "a.openvex.json").write_text(json.dumps({"statements": [STATEMENT]}))
    read = statements(tmp_path)
    assert [one.vulnerability for one in read] == ["GHSA-1", "CVE-2031-1"]
    assert {(one.package, one.until) for one in read} == {
        ("pkg:pypi/cranes", datetime.date(2027, 3, 1))
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "under_investigation"}, "excuses nothing"),
        ({"justification": ""}, "needs a justification"),
        ({"impact_statement": ""}, "needs a justification"),
        ({"status_notes": "soon"}, "must begin with `Until"),
        ({"status_notes": "Until 2027-03-01: "}, "must begin with `Until"),
    ],
)
def test_a_statement_without_reason_or_end_is_refused(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    (tmp_path / "a.openvex.json").write_text(json.dumps({"statements": [STATEMENT | change]}))
    with pytest.raises(VexError, match=said):
        statements(tmp_path)
