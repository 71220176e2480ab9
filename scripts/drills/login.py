"""From a clone to a login by the provider: what docs/login.md says, timed.

    cd scripts && ../.venv/bin/python -m drills.login [--keep]

It clones this repository as it was last committed, sets it up, starts an OpenID provider from npm,
starts the embedded stack told of it, logs in as the page does and asks for the documents with the
token. Packages come from the registry or from the caches of this machine, so a first run takes
longer. Exit codes: 0 whoever logged in was let in, 1 a step failed.
"""

import base64
import hashlib
import json
import re
import secrets
import shutil
import subprocess
import time
from typing import Annotated, Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import typer

from client.screen import terminal
from drills.steps import Failed, drill, free_ports, run, running

AUDIENCE = "https://bulkhead.example"
_START_SECONDS = 900
_PARTS = (
    "RETRIEVER",
    "LLM",
    "EMBEDDING",
    "MCP_FILESYSTEM",
    "MCP_DATABASE",
    "MCP_DATABASE_POSTGRES",
)


def main(keep: Annotated[bool, typer.Option(help="Leave the clone.")] = False) -> None:
    """Clone, log in, and show the times."""
    *ports, provider_port = free_ports(len(_PARTS) + 1)
    told = {f"{part}_PORT": str(port) for part, port in zip(_PARTS, ports, strict=True)}
    page, issuer = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{provider_port}"
    with drill(keep) as done:
        with done.step("the provider, from npm"):
            provider = done.folder / "provider"
            shutil.copytree(done.clone / "tests/clients", provider)
            run(provider, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
        # A login needs no model: none is fetched, and nobody answers at this address.
        told |= _settings(issuer) | {"RETRIEVER_LLM_URL": "http://127.0.0.1:9/v1"}
        with (
            running(provider, {"ISSUER": issuer, "PAGE": page}, "node", "provider.mjs"),
            done.step("make serve, until a login is let in"),
            running(done.clone, told, "make", "serve") as serving,
        ):
            terminal().print(_let_in(page, serving))


def _settings(issuer: str) -> dict[str, str]:
    """What docs/login.md has one set."""
    told = {
        "ISSUER": issuer,
        "AUDIENCE": AUDIENCE,
        "CLIENT_ID": "page",
        "SCOPE": "openid offline_access",
        "PARAMETERS": json.dumps({"resource": AUDIENCE}),
        "TENANT_CLAIM": "tenant",
        "GROUPS_CLAIM": "groups",
        "ROLE_CLAIM": "roles",
        "ROLES": json.dumps({"staff": "writer"}),
    }
    return {f"RETRIEVER_OIDC_{name}": value for name, value in told.items()}


def _let_in(page: str, serving: subprocess.Popen[bytes]) -> str:
    """Log in once the page is there; what the API says to whoever did."""
    deadline = time.monotonic() + _START_SECONDS
    said = "nothing"
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            token = _token(page)
            reply = httpx2.get(
                f"{page}/v1/documents", headers={"Authorization": f"Bearer {token}"}, timeout=60
            )
        except httpx2.TransportError as error:
            said = str(error)
        else:
            said = reply.text
            if reply.status_code == 200:
                return f"Let in by the provider: {len(reply.json()['data'])} documents to see."
        time.sleep(0.2)
    raise Failed(f"nobody was let in: {said[-800:]}")


def _token(page: str) -> str:
    """An access token, by the code flow with PKCE that the page makes."""
    login = httpx2.get(f"{page}/web/config.json", timeout=60).json()["login"]
    with httpx2.Client(timeout=60) as browser:
        about = browser.get(f"{login['issuer']}/.well-known/openid-configuration").json()
        verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            **login["parameters"],
            "response_type": "code",
            "client_id": login["client_id"],
            "redirect_uri": f"{page}/",
            "scope": login["scope"],
            "state": "x",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        back = _by_the_forms(browser, about["authorization_endpoint"], asked, page)
        granted: dict[str, Any] = browser.post(
            about["token_endpoint"],
            data={
                **login["parameters"],
                "grant_type": "authorization_code",
                "client_id": login["client_id"],
                "redirect_uri": f"{page}/",
                "code": parse_qs(urlsplit(back).query)["code"][0],
                "code_verifier": verifier,
            },
        ).json()
        return str(granted["access_token"])


def _by_the_forms(browser: httpx2.Client, where: str, asked: dict[str, str], page: str) -> str:
    """Fill in what the provider asks for; the address that leads back to the page."""
    reply = browser.get(where, params=asked)
    for _ in range(20):
        follow = reply.headers.get("location", "")
        if follow.startswith(page):
            return str(follow)
        if follow:
            where = urljoin(where, follow)
            reply = browser.get(where)
            continue
        form = re.search(r'action="([^"]+)"', reply.text)
        if form is None:
            break
        prompt = "login" if 'name="login"' in reply.text else "consent"
        where = urljoin(where, form[1])
        reply = browser.post(where, data={"prompt": prompt, "login": "ada", "password": "x"})
    raise Failed(f"the provider did not lead back: {reply.text[:800]}")


if __name__ == "__main__":
    typer.run(main)
