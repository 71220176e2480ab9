"""What the retriever can be told about an OpenID provider: `RETRIEVER_OIDC_…`."""

import ssl
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, field_validator, model_validator

from bulkhead.auth import Role
from bulkhead.settings import ServiceSettings
from retriever.login.keys import FITS

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def listed(text: str) -> list[str]:
    """The words of a setting with commas between."""
    return [word.strip() for word in text.split(",") if word.strip()]


class LoginSettings(ServiceSettings):
    """Without an issuer there are no logins, and nothing else here has an effect."""

    public_url: HttpUrl | None = Field(
        None,
        description="Address at which browsers and clients reach the retriever; it names what a "
        "login is for. None: loopback and the port.",
    )
    oidc_issuer: str = Field(
        "",
        description="The OpenID provider whose access tokens are taken, exactly as it names "
        "itself; `https`, but on loopback. Empty: keys alone.",
    )
    oidc_audience: str = Field(
        "",
        description="With an issuer: what a token's `aud` must name, one of these, with commas "
        "between.",
    )
    oidc_clients: str = Field(
        "",
        description="The clients (`azp`, `client_id`) whose tokens are taken, with commas "
        "between. Empty: any whose token names the audience.",
    )
    oidc_algorithms: str = Field(
        "RS256,PS256,ES256,EdDSA",
        description="Signatures that are taken, with commas between: "
        + ", ".join(f"`{name}`" for name in FITS)
        + ".",
    )
    oidc_clock_skew: float = Field(
        30.0, ge=0, le=300, description="How far the provider's clock may be off, in seconds."
    )
    oidc_ca_file: Path | None = Field(
        None,
        description="File of the certificates, in PEM, that the provider's is checked by; none: "
        "those that browsers trust.",
    )
    oidc_relay: str = Field(
        "",
        pattern=r"^([A-Za-z0-9.-]+:[0-9]{1,5})?$",
        description="HOST:PORT of a relay of bytes by which the issuer's host is reached; the "
        "certificate is the issuer's all the same. Empty: it is reached directly.",
    )
    oidc_tenant: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The tenant of everybody who logs in; this or a claim of it is needed.",
    )
    oidc_tenant_claim: str = Field(
        "",
        description="The claim that names a person's tenant: a name, or a JSON Pointer such as "
        "`/organization/id`.",
    )
    oidc_groups_claim: str = Field(
        "", description="The claim that lists a person's groups. Empty: nobody is in any."
    )
    oidc_role_claim: str = Field(
        "", description="The claim that `RETRIEVER_OIDC_ROLES` looks up, such as `/realm/roles`."
    )
    oidc_roles: dict[str, Role] = Field(
        {},
        description='JSON: values of that claim and the role that each gives: `{"staff": '
        '"writer"}`. The highest counts.',
    )
    oidc_default_role: Literal["reader", "writer", "admin"] | None = Field(
        None, description="The role of who has none by the claim. None: they are refused."
    )
    oidc_client_id: str = Field(
        "",
        description="The public client by whose name the page logs people in. Empty: the page "
        "takes keys alone.",
    )
    oidc_scope: str = Field(
        "openid", description="Scopes that the page, and MCP clients, ask for, with spaces between."
    )
    oidc_parameters: dict[str, str] = Field(
        {},
        description="JSON: what the page adds to its requests for a login, as providers want it: "
        '`{"resource": "https://…"}`, `{"audience": "…"}`.',
    )

    def public_address(self) -> str:
        """The retriever's address as others know it, without a slash at its end."""
        return str(self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    def issuer_trust(self) -> ssl.SSLContext | None:
        """What the provider's certificate is checked by, where that is set. Raises `ValueError`."""
        if self.oidc_ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.oidc_ca_file)
        except OSError as error:  # `SSLError` is one
            reason = error.strerror or "it holds no certificate"
            raise ValueError(f"{self.oidc_ca_file.name} cannot be used: {reason}") from error

    @field_validator("oidc_algorithms")
    @classmethod
    def _are_public(cls, algorithms: str) -> str:
        names = listed(algorithms)
        unknown = [name for name in names if name not in FITS]
        if unknown or not names:
            raise ValueError(f"name some of {', '.join(FITS)}; not {', '.join(unknown) or 'none'}")
        return algorithms

    @field_validator("oidc_issuer")
    @classmethod
    def _is_safe(cls, issuer: str) -> str:
        if issuer:
            url = urlsplit(issuer)
            safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
            if not safe or not url.hostname or url.query or url.fragment or url.username:
                raise ValueError("an issuer is an https address without query or fragment")
        return issuer

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if not self.oidc_issuer:
            return self
        if not listed(self.oidc_audience):
            raise ValueError("RETRIEVER_OIDC_AUDIENCE is needed with RETRIEVER_OIDC_ISSUER")
        if (self.oidc_tenant is None) == (not self.oidc_tenant_claim):
            raise ValueError("set one of RETRIEVER_OIDC_TENANT and RETRIEVER_OIDC_TENANT_CLAIM")
        if bool(self.oidc_role_claim) != bool(self.oidc_roles):
            raise ValueError("RETRIEVER_OIDC_ROLE_CLAIM and RETRIEVER_OIDC_ROLES need each other")
        if not self.oidc_role_claim and self.oidc_default_role is None:
            raise ValueError("set RETRIEVER_OIDC_ROLES or RETRIEVER_OIDC_DEFAULT_ROLE")
        self.issuer_trust()
        return self
