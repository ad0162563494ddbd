"""The names under which the server answers: what a request's Host header, or a page's Origin, must say."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from stigmer_cli.errors import ConfigError
from stigmer_cli.host_names import host_and_port

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
DEFAULT_PORTS = {"http": 80, "https": 443}


Address = tuple[str, int | None] | None
"""As an ASGI scope's `server` has it."""


class AllowedHosts:
    """The loopback names with the server's own port, and the names of the setting `allowed_hosts`.

    A page whose name was bound to this machine after it was loaded (DNS rebinding) sends that name, which is not here.
    """

    def __init__(self, port: int, named: Iterable[str] = ()) -> None:
        given = [host_and_port(name) for name in named]
        self._anywhere = frozenset(name for name, at in given if at is None)
        self._exact = frozenset({(name, port) for name in LOOPBACK_NAMES} | {(name, at) for name, at in given if at})

    def admits(self, host: str, *, at: Address = None) -> bool:
        """Whether `host`, a Host header, names this server. Without a port it means the default of either scheme.

        `at` is the address and port that the connection was made to: it is ours, whoever says it, and no page of
        somebody else's is loaded from it.
        """
        try:
            name, port = host_and_port(host)
        except ConfigError:
            return False
        ports = DEFAULT_PORTS.values() if port is None else (port,)
        return name in self._anywhere or any((name, one) in self._exact or (name, one) == _unmap(at) for one in ports)

    def admits_origin(self, origin: str) -> bool:
        """Whether `origin`, an Origin header, is a page of this server: an http or https URL of a name that is ours."""
        try:
            found = urlsplit(origin)
        except ValueError:
            return False
        if found.scheme not in DEFAULT_PORTS or origin != f"{found.scheme}://{found.netloc}":
            return False
        return self.admits(found.netloc)


def _unmap(at: Address) -> Address:
    if at is None:
        return None
    try:
        found = ipaddress.IPv6Address(at[0])
    except ValueError:
        return at
    # A socket that takes both kinds shows IPv4 addresses as IPv6 ones (RFC 4291, 2.5.5.2).
    return (str(found.ipv4_mapped) if found.ipv4_mapped else f"[{found.compressed}]"), at[1]


def split_names(setting: str | None) -> list[str]:
    """The names in the setting `allowed_hosts`; empty where it is unset."""
    return setting.split(",") if setting else []
