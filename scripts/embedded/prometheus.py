"""Prometheus beside the embedded stack, where it is installed: a part like the others."""

import os
import shutil
from collections.abc import Mapping, Sequence

import yaml

from embedded.parts import ROOT, Part, State, port_of

_CONFIG = ROOT / "observability/prometheus/embedded.yml"


def prometheus(
    kept: State, scraped: Sequence[Part], environment: Mapping[str, str] = os.environ
) -> Part | None:
    """Prometheus, told to scrape these parts, on PROMETHEUS_PORT; none where it is not installed.

    Writes its configuration into the state folder: the repository's, with the ports of the parts.
    What runs elsewhere is not scraped.
    """
    program = shutil.which("prometheus")
    if program is None:
        return None
    port = port_of(environment, "PROMETHEUS_PORT", 9090)
    ports = {part.name: part.port for part in scraped} | {"prometheus": port}
    config = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    config["rule_files"] = [str(_CONFIG.parent / pattern) for pattern in config["rule_files"]]
    config["scrape_configs"] = [
        {**job, "static_configs": [{"targets": [f"127.0.0.1:{ports[name]}"]}]}
        for job in config["scrape_configs"]
        if (name := job["job_name"].rpartition("/")[2]) in ports
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
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    return Part("prometheus", command, port, "/-/ready", dict(environment))
