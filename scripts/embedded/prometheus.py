"""Prometheus beside the embedded stack, where it is installed: a part like the others."""

import os
import shutil
from collections.abc import Mapping, Sequence

import yaml

from embedded.address import LOOPBACK, Address, address_of
from embedded.parts import LLM_KEY, ROOT, Part, State

_CONFIG = ROOT / "observability/prometheus/embedded.yml"


def prometheus(
    kept: State, scraped: Sequence[Part], environment: Mapping[str, str] = os.environ
) -> Part | None:
    """Prometheus, told to scrape these parts, on PROMETHEUS_PORT; none where it is not installed.

    Writes its configuration into the state folder: the repository's, with the parts' addresses.
    What runs elsewhere is not scraped.
    """
    program = shutil.which("prometheus")
    if program is None:
        return None
    own = Address(LOOPBACK, address_of(environment, "PROMETHEUS", 9090).port)
    addresses = {part.name: part.address for part in scraped} | {"prometheus": own}
    config = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    config["rule_files"] = [str(_CONFIG.parent / pattern) for pattern in config["rule_files"]]
    keys = {
        part.name: {"authorization": {"credentials_file": part.environment[LLM_KEY]}}
        for part in scraped
        if part.name == "llm"
    }
    config["scrape_configs"] = [
        {**job, **keys.get(name, {}), "static_configs": [{"targets": [addresses[name].reached]}]}
        for job in config["scrape_configs"]
        if (name := job["job_name"].rpartition("/")[2]) in addresses
    ]
    folder = kept.folder / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = (
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=35d",
        f"--web.listen-address={own.reached}",
        "--log.level=warn",
    )
    return Part("prometheus", command, own, "/-/ready", dict(environment))
