"""Access tokens of an OpenID provider: its keys as they turn, and what claims come to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from certificates import self_signed
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from issuer import SETTINGS, Issuer, jwk, new_key
from pydantic import ValidationError
from serving import free_port, serving

from bulkhead.auth import Principal, Role
from bulkhead.errors import ApiError, Forbidden, Unauthenticated, Unavailable
from ingress.relay import Relay, Route
from retriever.login.claims import login_id
from retriever.login.keys import read_keys
from retriever.login.provider import Provider
from retriever.login.settings import LoginSettings
from retriever.login.tokens import Logins
from retriever.settings import RetrieverSettings

URL = "https://login.example"


def told(**changed: Any) -> LoginSettings:
    return RetrieverSettings.model_validate({"oidc_issuer": URL, **SETTINGS, **changed})


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def logins(
    issuer: Issuer, clock: Callable[[], float] | None = None, **changed: Any
) -> AsyncIterator[Logins]:
    """Logins at `issuer`, without a socket."""
    issuer.url = URL
    settings = told(**changed)
    transport = httpx2.ASGITransport(issuer.app)
    async with httpx2.AsyncClient(transport=transport, timeout=60) as http:
        algorithms = settings.oidc_algorithms.split(",")
        yield Logins(settings, Provider(http, URL, algorithms, clock=clock or Clock()))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def principal(issuer: Issuer, claims: dict[str, Any], **changed: Any) -> Principal:
    async with logins(issuer, **changed) as one:
        return (await one.login(issuer.token(**claims))).principal


def test_a_login_stands_for_its_tenant_its_groups_and_the_highest_of_its_roles() -> None:
    for algorithm in ("ES256", "RS256", "EdDSA"):
        issuer = Issuer(algorithm)
        found = run(principal(issuer, {"roles": ["guest", "staff", "other"]}))
        assert found == Principal(login_id(URL, "ada"), "acme", frozenset({"red"}), Role.WRITER), (
            algorithm
        )


def test_a_person_is_known_by_issuer_and_subject_alone() -> None:
    assert login_id("https://a", "x") == login_id("https://a", "x")
    assert len({login_id("https://a", "x"), login_id("https://a", "y"), login_id("b", "x")}) == 3
    assert login_id("https://a", "x").startswith("login_")


CLAIMS: list[tuple[dict[str, Any], dict[str, Any], str | tuple[str, set[str], str]]] = [
    # changed settings, changed claims, what comes of it
    ({}, {"tenant": None}, "tenant is missing"),
    ({}, {"tenant": ["acme"]}, "tenant names no tenant"),
    ({}, {"tenant": "a b"}, "tenant names no tenant"),
    ({}, {"tenant": "x" * 65}, "tenant names no tenant"),
    ({}, {"groups": None}, "groups is missing"),
    ({}, {"groups": {"red": True}}, "groups is no list of texts"),
    ({}, {"groups": ["red", 1]}, "groups is no list of texts"),
    ({}, {"groups": [f"g{n}" for n in range(257)]}, "more than 256"),
    ({}, {"groups": ["red", "/a/b", "two words", "*", ""]}, ("acme", {"red"}, "writer")),
    ({}, {"groups": []}, ("acme", set(), "writer")),
    ({}, {"groups": "red"}, ("acme", {"red"}, "writer")),
    ({}, {"roles": None}, "roles is missing"),
    ({}, {"roles": []}, "roles gives no role"),
    ({}, {"roles": ["Staff", "admin", "chief "]}, "roles gives no role"),
    ({}, {"roles": "chief staff"}, "roles gives no role"),
    ({}, {"roles": "chief"}, ("acme", {"red"}, "admin")),
    ({}, {"roles": True}, "roles is no list of texts"),
    ({"oidc_default_role": "reader"}, {"roles": []}, ("acme", {"red"}, "reader")),
    ({"oidc_default_role": "reader"}, {"roles": None}, "roles is missing"),
    ({"oidc_default_role": "writer"}, {"roles": ["guest"]}, ("acme", {"red"}, "writer")),
    ({"oidc_groups_claim": ""}, {}, ("acme", set(), "writer")),
    (
        {"oidc_tenant": "house", "oidc_tenant_claim": ""},
        {"tenant": None},
        ("house", {"red"}, "writer"),
    ),
    (
        {"oidc_role_claim": "scope", "oidc_roles": {"docs:write": "writer"}},
        {"scope": "openid docs:write"},
        ("acme", {"red"}, "writer"),
    ),
    (
        {"oidc_role_claim": "/realm_access/roles"},
        {"realm_access": {"roles": ["guest"]}},
        ("acme", {"red"}, "reader"),
    ),
    ({"oidc_role_claim": "/realm_access/roles"}, {"realm_access": "x"}, "is missing"),
    ({"oidc_role_claim": "/realm_access/roles"}, {"realm_access/roles": ["chief"]}, "is missing"),
    (
        {"oidc_role_claim": "https://acme.example/roles"},
        {"https://acme.example/roles": ["guest"]},
        ("acme", {"red"}, "reader"),
    ),
    (
        {"oidc_role_claim": "/https:~1~1acme.example~1x/roles~01"},
        {"https://acme.example/x": {"roles~1": ["guest"]}},
        ("acme", {"red"}, "reader"),
    ),
]


def test_what_claims_come_to_is_told_by_the_settings_and_never_wider() -> None:
    issuer = Issuer()
    for settings, claims, wanted in CLAIMS:
        try:
            found = run(principal(issuer, claims, **settings))
        except Forbidden as error:
            assert isinstance(wanted, str), (settings, claims, error.message)
            assert wanted in error.message, (settings, claims)
        else:
            assert (found.tenant, set(found.groups), found.role) == wanted, (settings, claims)


SETTINGS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"oidc_issuer": "http://login.example"}, "https address"),
    ({"oidc_issuer": "https://a:b@login.example"}, "https address"),
    ({"oidc_issuer": "https://login.example?x"}, "https address"),
    ({"oidc_audience": " ,"}, "OIDC_AUDIENCE"),
    ({"oidc_tenant_claim": ""}, "OIDC_TENANT"),
    ({"oidc_tenant": "acme"}, "OIDC_TENANT"),
    ({"oidc_roles": {}}, "need each other"),
    ({"oidc_role_claim": ""}, "need each other"),
    ({"oidc_role_claim": "", "oidc_roles": {}}, "OIDC_DEFAULT_ROLE"),
    ({"oidc_roles": {"x": "operator"}}, "oidc_roles"),
    ({"oidc_algorithms": "HS256"}, "HS256"),
    ({"oidc_algorithms": "none"}, "none"),
    ({"oidc_algorithms": ","}, "name some of"),
    ({"oidc_clock_skew": 301}, "300"),
    ({"oidc_ca_file": "/no/such/file"}, "cannot be used"),
]


def test_settings_that_leave_something_open_end_the_start_in_words() -> None:
    assert told(oidc_issuer="http://127.0.0.1:3000").oidc_issuer
    for changed, words in SETTINGS_REFUSED:
        with pytest.raises(ValidationError, match=words):
            told(**changed)
    assert not RetrieverSettings.model_validate({"oidc_audience": ""}).oidc_issuer


async def refused(one: Logins, token: str) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await one.login(token)
    return raised.value


def test_a_key_that_turns_is_followed_and_the_old_one_goes_on_while_it_is_published() -> None:
    async def turning() -> None:
        issuer, clock = Issuer(), Clock()
        async with logins(issuer, clock) as one:
            old = issuer.token()
            await one.login(old)
            issuer.turn("next", "RS256")
            clock.now += 11
            await one.login(issuer.token())
            await one.login(old)
            assert issuer.asked == 2
            issuer.published = issuer.published[1:]
            clock.now += 11
            await refused(one, issuer.token(header={"kid": "has it looked?"}))
            assert isinstance(await refused(one, old), Unauthenticated)

    run(turning())


def test_names_of_keys_that_nobody_has_do_not_hammer_the_provider() -> None:
    async def hammering() -> None:
        issuer, clock = Issuer(), Clock()
        async with logins(issuer, clock) as one:
            for n in range(200):
                error = await refused(one, issuer.token(header={"kid": f"k{n}"}))
                assert isinstance(error, Unauthenticated)
            assert issuer.asked == 1
            clock.now += 11
            tokens = [issuer.token(header={"kid": f"k{n}"}) for n in range(50)]
            await asyncio.gather(*(refused(one, token) for token in tokens))
            assert issuer.asked == 2
            await one.login(issuer.token())

    run(hammering())


def test_a_caller_who_leaves_does_not_end_the_look_that_others_wait_for() -> None:
    async def leaving() -> None:
        issuer = Issuer()
        async with logins(issuer) as one:
            asking = asyncio.create_task(one.login(issuer.token()))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert (await one.login(issuer.token())).holds()
            assert issuer.asked == 1

    run(leaving())


def test_while_the_provider_is_down_known_keys_go_on_for_an_hour_and_unknown_ones_are_503() -> None:
    async def falling() -> None:
        issuer, clock = Issuer(), Clock()
        async with logins(issuer, clock) as one:
            await one.login(issuer.token())
            await one.provider.check()
            issuer.down = True
            clock.now += 3599
            await one.login(issuer.token())
            error = await refused(one, issuer.token(header={"kid": "new"}))
            assert isinstance(error, Unavailable)
            assert (error.part, "answered 500" in error.message) == ("login", True)
            with pytest.raises(Unavailable):
                await one.provider.check()
            clock.now += 2
            assert isinstance(await refused(one, issuer.token()), Unavailable)
            issuer.down = False
            clock.now += 11
            await one.login(issuer.token())

    run(falling())


def test_a_provider_that_says_nonsense_is_told_and_nobody_comes_in() -> None:
    async def speaking(issuer: Issuer) -> str:
        async with logins(issuer) as one:
            return (await refused(one, issuer.token())).message

    named = Issuer()
    named.names = f"{URL}/"
    assert "another issuer" in run(speaking(named))
    nonsense: list[Any] = [{"a": 1}, "x", None, [{}] * 101]
    for published in nonsense:
        issuer = Issuer()
        issuer.published = published
        assert "no set of keys" in run(speaking(issuer)), published
    issuer = Issuer()
    issuer.published = ["x" * 2**18]
    assert "too long" in run(speaking(issuer))


def test_keys_that_cannot_be_meant_are_passed_over() -> None:
    key, rsa = new_key(), new_key("RS256")
    good = jwk("a", key, "ES256")
    allowed = ["ES256", "ES384", "RS256", "PS256"]

    def names(*published: Any) -> set[tuple[str, str]]:
        return set(read_keys({"keys": list(published)}, allowed))

    assert names(good) == {("a", "ES256")}
    assert names({name: good[name] for name in good if name not in ("use", "alg")})
    assert names({**jwk("r", rsa, "RS256"), "alg": "PS256"}) == {("r", "PS256")}
    for bad in (
        {**good, "use": "enc"},
        {**good, "key_ops": ["sign"]},
        {**good, "kid": None},
        {**good, "kid": 1},
        {**good, "crv": "P-384"},
        {**good, "x": "AAAA"},
        {**good, "d": "AAAA"},
        {**good, "alg": "HS256"},
        {"kty": "oct", "k": "AAAA", "kid": "a"},
        {"kty": ["EC"], "kid": "a"},
        "a",
    ):
        assert names(bad) == set(), bad
    assert names(good, jwk("a", new_key(), "ES256"), jwk("b", key, "ES256")) == {("b", "ES256")}
    short = generate_private_key(65537, 1024)
    assert names(jwk("short", short, "RS256")) == set()


def test_the_relay_is_dialled_and_the_certificate_is_the_issuers(tmp_path: Path) -> None:
    """The issuer's own address leads nowhere; the relay's is no name in the certificate."""

    async def by_relay(issuer: Issuer, port: int) -> None:
        settings = told(
            oidc_issuer=issuer.url,
            oidc_ca_file=tmp_path / "certificate",
            oidc_relay=f"localhost:{free_port()}",
        )
        route = Route(int(settings.oidc_relay.rpartition(":")[2]), "127.0.0.1", port)
        relay = Relay(route, 8)
        listening = await relay.start("127.0.0.1")
        trust = settings.issuer_trust()
        watched = Provider.watched(issuer.url, ["ES256"], settings.oidc_relay, trust)
        try:
            async with watched as provider:
                await Logins(settings, provider).login(issuer.token())
        finally:
            listening.close()
            await relay.close(0)

    for named, elsewhere, refusal in (
        ("127.0.0.1", "", ""),
        ("127.0.0.2", "", "CERTIFICATE_VERIFY_FAILED"),
        ("127.0.0.1", "https://keys.example/jwks", "keys.example is another host"),
    ):
        private, certificate = self_signed(named)
        (tmp_path / "private").write_bytes(private)
        (tmp_path / "certificate").write_bytes(certificate)
        issuer = Issuer()
        issuer.url, issuer.keys_at = "https://127.0.0.1:1", elsewhere
        private_file, file = tmp_path / "private", tmp_path / "certificate"
        with serving(issuer.app, ssl_keyfile=private_file, ssl_certfile=file) as url:
            port = int(url.rpartition(":")[2])
            if refusal:
                with pytest.raises(Unavailable, match=refusal):
                    run(by_relay(issuer, port))
            else:
                run(by_relay(issuer, port))
