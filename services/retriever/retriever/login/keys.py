"""The provider's public keys, by the name and the algorithm that a token's header gives."""

from collections.abc import Collection, Mapping
from typing import Any

import jwt

FITS: dict[str, tuple[str, str | None]] = {
    **{f"{kind}{bits}": ("RSA", None) for kind in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The algorithms that may be allowed, each with the kind and the curve of its keys (RFC 7518 and
8037). All are of public keys: what a provider publishes checks a signature and never makes one."""
_MOST_KEYS = 100
_SHORTEST_RSA = 2048  # bits, RFC 7518 section 3.3

Keys = Mapping[tuple[str, str], jwt.PyJWK]


def read_keys(document: Any, algorithms: Collection[str]) -> Keys:
    """The keys of a JWK set that can check these algorithms, by (`kid`, algorithm).

    Passed over are keys without a name, those for something else, those that cannot be read, RSA
    keys that are too short, and all of a name that stands twice for one algorithm: which of them
    was meant nobody knows. Raises `ValueError` when it is no JWK set, or too large.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ValueError("what it published is no set of keys")
    found: dict[tuple[str, str], jwt.PyJWK] = {}
    twice: set[tuple[str, str]] = set()
    for one in listed:
        for algorithm in algorithms:
            if isinstance(one, dict) and _is_for(one, algorithm):
                name = (one["kid"], algorithm)
                key = _read(one, algorithm)
                if key is not None:
                    twice |= {name} & found.keys()
                    found[name] = key
    return {name: key for name, key in found.items() if name not in twice}


def _is_for(jwk: dict[str, Any], algorithm: str) -> bool:
    kind, curve = FITS[algorithm]
    operations = jwk.get("key_ops", ["verify"])
    return (
        isinstance(jwk.get("kid"), str)
        and jwk.get("kty") == kind
        and (curve is None or jwk.get("crv") == curve)
        and jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in jwk  # a private key in the open proves nothing about who signs with it
    )


def _read(jwk: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(jwk, algorithm)
    except jwt.PyJWTError:
        return None
    return None if jwk["kty"] == "RSA" and key.key.key_size < _SHORTEST_RSA else key
