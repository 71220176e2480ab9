"""`python -m secrets_maker.cluster`: the secrets of the plan in Secret objects of Kubernetes.

The chart makes the objects, empty; this fills in what they lack and may do nothing else. One object
holds each secret's master and belongs to no service. An object that somebody else keeps is only
read: what it holds is a secret's value for all who share it.
"""

import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from secrets_maker.make import new_value
from secrets_maker.plan import PLAN, Secret

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token, the namespace and the API server's certificates."""

Data = dict[str, str]
"""What an object holds: text by key."""


class ClusterError(Exception):
    """In words for whoever reads the Job's log; never with a secret in it."""


class Object(NamedTuple):
    """A Secret object: its name, and whether it is ours to fill."""

    name: str
    managed: bool


class Store(Protocol):
    """Where the objects are."""

    def read(self, name: str) -> Data:
        """What an object holds. Raises `ClusterError`."""

    def add(self, name: str, data: Data) -> None:
        """Set these keys of it, if it is as it was read. Raises `ClusterError`."""


def fill(
    plan: Iterable[Secret], store: Store, masters: str, objects: Mapping[str, Object]
) -> list[str]:
    """Bring every object to what the plan says; the names of the secrets that were made.

    `objects`: by service. A service that is not among them has nothing here. Masters are written
    first, so that an end amid the work leaves nothing that does not fit together.
    Raises `ClusterError`.
    """
    plan = tuple(plan)
    held = {service: store.read(one.name) for service, one in objects.items()}
    values = store.read(masters)
    made = []
    for secret in plan:
        brought = [
            held[copy.service][copy.file].strip()
            for copy in secret.copies
            if copy.service in objects
            and not objects[copy.service].managed
            and copy.template == "{secret}\n"
            and held[copy.service].get(copy.file, "").strip()
        ]
        if len(set(brought)) > 1:
            raise ClusterError(
                f"those who share the secret {secret.name} were given different ones"
            )
        if brought:
            values[secret.name] = brought[0]
        elif not values.get(secret.name):
            values[secret.name] = new_value(secret)
            made.append(secret.name)
    if made:
        store.add(masters, {name: values[name] for name in made})
    for service, one in objects.items():
        wanted = {
            copy.file: copy.template.format(secret=values[secret.name], all=values)
            for secret in plan
            for copy in secret.copies
            if copy.service == service
        }
        lacking = {key: text for key, text in wanted.items() if held[service].get(key) != text}
        if not one.managed:
            if missing := sorted(key for key in wanted if not held[service].get(key, "").strip()):
                raise ClusterError(f"the secret {one.name} lacks {', '.join(missing)}")
        elif lacking:
            store.add(one.name, lacking)
    return made


class Api:
    """The API server, as far as Secret objects of one namespace go."""

    def __init__(
        self, url: str, namespace: str, token: str, context: ssl.SSLContext | None
    ) -> None:
        """`url`: of the server itself; `context`: none for plain HTTP, in tests."""
        self._url = f"{url}/api/v1/namespaces/{namespace}/secrets"
        self._token = token
        proxies = urllib.request.ProxyHandler({})  # the server is asked, and no proxy
        handlers = [urllib.request.HTTPSHandler(context=context)] if context else []
        self._open = urllib.request.build_opener(proxies, *handlers).open
        self._read_at: dict[str, str] = {}

    @classmethod
    def of_the_pod(cls) -> "Api":
        """The server that this pod belongs to. Raises `ClusterError`."""
        try:
            host, port = (
                os.environ["KUBERNETES_SERVICE_HOST"],
                os.environ["KUBERNETES_SERVICE_PORT"],
            )
            token = (MOUNTED / "token").read_text(encoding="ascii").strip()
            namespace = (MOUNTED / "namespace").read_text(encoding="ascii").strip()
            context = ssl.create_default_context(cafile=str(MOUNTED / "ca.crt"))
        except (KeyError, OSError) as error:
            raise ClusterError(f"this is no pod with a token: {error}") from error
        name = f"[{host}]" if ":" in host else host
        return cls(f"https://{name}:{port}", namespace, token, context)

    def read(self, name: str) -> Data:
        """What an object holds. Raises `ClusterError`."""
        told = self._ask("GET", name)
        self._read_at[name] = told["metadata"]["resourceVersion"]
        data: Mapping[str, str] = told.get("data") or {}
        return {key: base64.b64decode(text).decode() for key, text in data.items()}

    def add(self, name: str, data: Data) -> None:
        """Set these keys of it, unless it changed since it was read. Raises `ClusterError`."""
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        self._ask(
            "PATCH",
            name,
            {"metadata": {"resourceVersion": self._read_at[name]}, "data": encoded},
        )

    def _ask(self, method: str, name: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is the pod's own server
            f"{self._url}/{name}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/merge-patch+json",
            },
        )
        try:
            with self._open(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise ClusterError(f"the API server says {error.code} to {method} {name}") from error
        except (OSError, ValueError) as error:
            raise ClusterError(f"the API server does not answer: {error}") from error


def main() -> None:
    """Fill the objects that the environment names."""
    try:
        told = json.loads(os.environ["SECRETS_OBJECTS"])
        objects = {service: Object(**one) for service, one in told["services"].items()}
        made = fill(PLAN, Api.of_the_pod(), told["masters"], objects)
    except ClusterError as error:
        sys.exit(f"secrets: {error}")
    print(f"made {', '.join(made)}" if made else "all secrets are there")  # noqa: T201


if __name__ == "__main__":
    main()
