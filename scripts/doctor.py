"""Looks at this machine before `docker compose up` pulls anything; says how to mend what is wrong.

Standard library only. Exit codes: 0 the stack can come up, 1 something would stop it, 2 usage.
"""

import argparse
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from diagnosis.checks import MODEL_SERVERS, clone, engine, gpu, machine, runtime
from diagnosis.finding import Level
from diagnosis.project import ROOT, chosen, project, variables


def main() -> int:
    """Print every finding; the exit status."""
    seen = variables()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", choices=MODEL_SERVERS, default=_model_server(seen))
    parser.add_argument("--config", type=Path, help="config.json of the model in LLM_MODEL")
    given = parser.parse_args()
    findings = chain(
        engine(project(seen)), runtime(seen), clone(ROOT, seen), machine(given.profile, seen)
    )
    if given.profile.startswith("gpu"):
        settings = ROOT / "services/llm/vllm/gpu.yaml"
        findings = chain(findings, gpu(given.profile, seen, settings, given.config))
    print(f"profile {given.profile}")
    stops = 0
    for finding in findings:
        print(finding)
        stops += finding.level is Level.STOPS
    print("the stack can come up" if not stops else f"{stops} to mend first")
    return 1 if stops else 0


def _model_server(seen: Mapping[str, str]) -> str:
    """The profile of the model server among those chosen."""
    return next((name for name in chosen(seen) if name in MODEL_SERVERS), MODEL_SERVERS[0])


if __name__ == "__main__":
    sys.exit(main())
