"""Loopback and the stack's own hosts are spared from the proxies of the environment."""

import pytest

from bulkhead.proxies import spare

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("told", "hosts", "spared"),
    [
        ({}, (), LOOPBACK),
        ({"no_proxy": ".example.org"}, (), f".example.org,{LOOPBACK}"),
        ({"NO_PROXY": " a , b,,"}, (), f"a,b,{LOOPBACK}"),
        ({"no_proxy": "a,::1", "NO_PROXY": "b,a"}, (), "a,::1,b,127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, (), f"*,{LOOPBACK}"),
        ({}, ("10.0.0.7", "127.0.0.1"), f"{LOOPBACK},10.0.0.7"),
    ],
)
def test_what_a_person_spares_stays_spared(
    told: dict[str, str], hosts: tuple[str, ...], spared: str
) -> None:
    environment = {"HTTP_PROXY": "http://proxy:3128", **told}
    spare(environment, *hosts)
    assert environment["no_proxy"] == environment["NO_PROXY"] == spared
    assert environment["HTTP_PROXY"] == "http://proxy:3128"  # the hub and the world still use it
