"""The proxies of the environment are for the world: this machine and its neighbours need none."""

import os
from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def spare(environment: MutableMapping[str, str] = os.environ, *hosts: str) -> None:
    """Name loopback, and these hosts, as what no proxy of `environment` is asked for.

    HTTP clients read HTTP_PROXY and its like when they are made, so this goes before. Some read
    `no_proxy` and some NO_PROXY; both then hold all that either held.
    """
    told = (environment.get(name, "").split(",") for name in ("no_proxy", "NO_PROXY"))
    names = dict.fromkeys(name.strip() for some in told for name in some)
    spared = ",".join(filter(None, dict.fromkeys([*names, *LOOPBACK, *hosts])))
    environment["no_proxy"] = environment["NO_PROXY"] = spared
