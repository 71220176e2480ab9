"""Where a part listens, and how its neighbours on this machine reach it there."""

from collections.abc import Mapping
from dataclasses import dataclass

from embedded.errors import StackError

LOOPBACK = "127.0.0.1"
_ONE_OF_ALL = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - what a person may have told


@dataclass(frozen=True)
class Address:
    """A host and a port to listen on."""

    host: str
    port: int

    @property
    def reached(self) -> str:
        """Host and port as they stand in an address, for whoever is on this machine."""
        host = _ONE_OF_ALL.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address for HTTP."""
        return f"http://{self.reached}"


def address_of(environment: Mapping[str, str], prefix: str, port: int) -> Address:
    """What `PREFIX_HOST` and `PREFIX_PORT` tell, and else `port` of loopback.

    An empty variable is one that is not set, as for the services. Raises `StackError` for a port
    that is none.
    """
    told = environment.get(f"{prefix}_PORT") or str(port)
    if not (told.isdecimal() and 1 <= int(told) <= 65535):
        raise StackError(f"{prefix}_PORT is {told!r}; it must be a port, 1 to 65535")
    return Address(environment.get(f"{prefix}_HOST") or LOOPBACK, int(told))
