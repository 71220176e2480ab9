"""Known holes in the locked packages, by OSV (https://osv.dev), that somebody can mend.

pip-audit finds them; how grave one is, OSV's own record says. A hole without a known grade counts
as grave: what nobody has judged yet is no reason to ship it.
"""

import datetime
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx2
from cvss import CVSS2, CVSS3, CVSS4, CVSSError

from supply.finding import Finding
from supply.locks import Locked
from supply.tools import tool
from supply.vex import Statement

OSV = "https://api.osv.dev"
_GRAVE = 7.0  # CVSS: high begins here, https://www.first.org/cvss/v3.1/specification-document
_UNKNOWN = 10.0
_GRADES = {"LOW": 2.0, "MODERATE": 5.0, "MEDIUM": 5.0, "HIGH": 8.0, "CRITICAL": 9.5}
_SCORES = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}


class FeedError(Exception):
    """The feed did not answer, so nothing is known."""


def holes(
    packages: Iterable[Locked],
    statements: Sequence[Statement],
    today: datetime.date,
    feed: str = OSV,
) -> Iterator[Finding]:
    """Grave holes that a newer version mends and no statement excuses.

    Raises `FeedError`; silence of the feed is never "no hole".
    """
    with httpx2.Client(base_url=feed, timeout=60) as client:
        for package, hole in _audited(packages, feed):
            names = sorted({hole["id"], *hole["aliases"]})
            known = [grade for name in names if (grade := _grade(client, name)) is not None]
            if not hole["fix_versions"] or max(known, default=_UNKNOWN) < _GRAVE:
                continue
            purl = f"pkg:pypi/{package.name}"
            told = [one for one in statements if one.package == purl and one.vulnerability in names]
            if any(one.until >= today for one in told):
                continue
            problem = f"{', '.join(names)}: mended in {', '.join(hole['fix_versions'])}"
            if told:
                problem += f"; {told[0].file} excused it until {max(one.until for one in told)}"
            yield Finding(f"{package.name} {package.version}", problem)


def _audited(packages: Iterable[Locked], feed: str) -> Iterator[tuple[Locked, dict[str, Any]]]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
        asked.writelines(f"{one.name}=={one.version}\n" for one in sorted(packages))
        asked.flush()
        command = [tool("pip-audit"), "--requirement", asked.name, "--no-deps", "--disable-pip"]
        command += ["--vulnerability-service", "osv", "--osv-url", f"{feed}/v1/query"]
        command += ["--format", "json", "--aliases", "on", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout.strip():  # 1: it found some
        raise FeedError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no answer"
        )
    for dependency in json.loads(done.stdout)["dependencies"]:
        if reason := dependency.get("skip_reason"):
            raise FeedError(f"{dependency['name']}: {reason}")
        for hole in dependency["vulns"]:
            yield Locked(dependency["name"], dependency["version"]), hole


def _grade(client: httpx2.Client, name: str) -> float | None:
    """The CVSS score of a record, `_UNKNOWN` if it has none; None if the feed has no record."""
    try:
        answer = client.get(f"/v1/vulns/{name}")
        if answer.status_code == 404:  # an alias of another database
            return None
        record = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        raise FeedError(f"{name}: {error}") from error
    scores = [_score(one) for one in record.get("severity", [])]
    word = record.get("database_specific", {}).get("severity")
    if isinstance(word, str) and word.upper() in _GRADES:
        scores.append(_GRADES[word.upper()])
    return max(scores, default=_UNKNOWN)


def _score(severity: dict[str, str]) -> float:
    try:
        return float(max(_SCORES[severity["type"]](severity["score"]).scores()))
    except (KeyError, CVSSError):
        return _UNKNOWN
