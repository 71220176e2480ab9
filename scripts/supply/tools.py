"""The programs that check, in an environment of their own.

A scanner is itself a way in, so none of them shares an environment with what it checks: `make gate`
makes `.supply` from `deploy/supply/requirements.lock`, by version and hash.
"""

import shutil

from supply.finding import ROOT

ENVIRONMENT = ROOT / ".supply"
CHARTS = ROOT / ".charts"
"""Helm and its like, made by `make charts` from `deploy/helm` in the same way."""


class ToolMissing(Exception):
    """A program that is needed and not there."""


def tool(name: str) -> str:
    """The path of a Python tool of ours, else of a program on PATH. Raises `ToolMissing`."""
    for environment in (ENVIRONMENT, CHARTS):
        own = environment / "bin" / name
        if own.exists():
            return str(own)
    if found := shutil.which(name):
        return found
    raise ToolMissing(f"{name} is not here; docs/supply-chain.md says where it comes from")
