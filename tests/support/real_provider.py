"""A real OpenID provider for tests: the package oidc-provider, run by Node.js."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import client_packages
from serving import free_port

AUDIENCE = "https://bulkhead.example"

SETTINGS: dict[str, Any] = {
    "oidc_audience": AUDIENCE,
    "oidc_tenant_claim": "tenant",
    "oidc_groups_claim": "groups",
    "oidc_role_claim": "roles",
    "oidc_roles": {"staff": "writer"},
    "oidc_client_id": "page",
    "oidc_scope": "openid offline_access",
    "oidc_parameters": {"resource": AUDIENCE},
}
"""What a retriever is told of it, but for its address."""


@contextmanager
def providing(page: str, seconds: int = 600) -> Iterator[str]:
    """Its address, while it runs; `page` is the page's, and an access token lives so many seconds.

    Skips the test where the package cannot be had.
    """
    folder = client_packages.node()
    script = shutil.copy(client_packages.WANTED / "provider.mjs", folder)
    issuer = f"http://127.0.0.1:{free_port()}"
    told = {**os.environ, "ISSUER": issuer, "PAGE": page, "SECONDS": str(seconds)}
    with subprocess.Popen(
        ["node", script], env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if not any(line == "ready\n" for line in process.stdout):
                raise RuntimeError("the provider did not start: run tests/clients/provider.mjs")
            yield issuer
        finally:
            process.kill()
