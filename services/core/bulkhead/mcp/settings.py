"""What every tool server can be told from outside."""

from pathlib import Path

from pydantic import Field

from bulkhead.settings import ServiceSettings


class ToolServerSettings(ServiceSettings):
    """Settings that all tool servers have. A server subclasses this with its own prefix."""

    signing_key_file: Path = Field(
        description="File with the key that signs this server's tokens, 32 random bytes or more."
    )
    uds: Path | None = Field(
        None, description="Unix socket to listen on, instead of host and port."
    )
    allowed_hosts: str = Field(
        "",
        description="Values of `Host` that are served, exactly, separated by commas. Empty: the "
        "loopback names and the host that is listened on, each with the port, and `localhost` on a "
        "Unix socket.",
    )
    allowed_origins: str = Field(
        "",
        description="Values of `Origin` that are served, exactly, separated by commas. Empty: no "
        "web page may call.",
    )
    max_body_bytes: int = Field(
        64 * 2**10, gt=0, description="Largest request body, in bytes; above it 413."
    )
    max_result_bytes: int = Field(
        256 * 2**10, gt=0, description="Largest result of a tool, in bytes of JSON."
    )
    call_seconds: float = Field(15, gt=0, description="Longest that a tool may take.")
    requests_per_second: float = Field(
        200, gt=0, description="Requests that one caller may make per second; above it 429."
    )
    request_burst: int = Field(
        400, ge=1, description="Requests that one caller may make at once after a pause."
    )
    concurrent_requests: int = Field(
        8, ge=1, description="Requests of one caller that are served at once; above it 429."
    )
    max_connections: int = Field(
        256, ge=1, description="Connections that are open at once; above it 503."
    )

    def hosts(self) -> frozenset[str]:
        """The values of `Host` that are served."""
        if self.allowed_hosts:
            return _listed(self.allowed_hosts)
        if self.uds is not None:
            return frozenset({"localhost"})
        names = {"127.0.0.1", "localhost", "[::1]"}
        if self.host not in ("0.0.0.0", "::"):  # noqa: S104 - every address is none to be called by
            names.add(f"[{self.host}]" if ":" in self.host else self.host)
        return frozenset(f"{name}:{self.port}" for name in names)

    def origins(self) -> frozenset[str]:
        """The values of `Origin` that are served; a request without one always is."""
        return _listed(self.allowed_origins)


def _listed(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())
