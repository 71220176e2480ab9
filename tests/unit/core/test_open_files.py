"""A service has as many open files as it is allowed to."""

import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI

from bulkhead import app
from bulkhead.settings import ServiceSettings

CODE = """
import logging, resource, sys
from bulkhead.open_files import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
logging.basicConfig(format="%(message)s %(limit)s")
used = raise_limit()
print(used, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "after", "said"),
    [
        (256, 2048, 2048, ""),
        (256, 256, 256, "few files may be open at once 256\n"),
        (1024, 1024, 1024, ""),
    ],
)
def test_the_soft_limit_is_lifted_to_the_hard_one_and_few_are_said(
    soft: int, hard: int, after: int, said: str
) -> None:
    command = [sys.executable, "-c", CODE, str(soft), str(hard)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{after} {after} {hard}\n", said)


@pytest.mark.parametrize(("options", "most"), [({}, 500), ({"limit_concurrency": 7}, 7)])
def test_half_of_them_may_be_connections_of_clients(
    options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Configured(Exception):
        pass

    def configured(*_: object, limit_concurrency: int) -> None:
        assert limit_concurrency == most
        raise Configured

    made = FastAPI()
    made.state.name = "made"
    for name in ("configure_logging", "configure"):
        monkeypatch.setattr(app, name, lambda *_: None)
    monkeypatch.setattr(app, "raise_limit", lambda: 1000)
    monkeypatch.setattr(app, "server_config", configured)
    with pytest.raises(Configured):
        app.serve(made, ServiceSettings(port=0), **options)
