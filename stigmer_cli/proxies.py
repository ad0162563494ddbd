"""Which HTTP proxy the environment names for a URL; what is on this machine is never asked for through one.

The variables are those that curl, Go and Python's libraries share: `http_proxy` and `https_proxy` by the scheme of the
URL, `all_proxy` for both, and `no_proxy`, each also in capitals; lower case comes first. Libraries read them by
themselves, but send loopback addresses through the proxy, too, and some of them fail over `::1` or a network
(10.0.0.0/8) in `no_proxy`.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from stigmer_cli.host_names import find_url_problem

SCHEMES = ("http", "https")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy, and the variable that names it. `url` may hold a password; `where` does not."""

    url: str = field(repr=False)
    variable: str

    @property
    def is_http(self) -> bool:
        """Whether it speaks HTTP, as all do that can be used here (SOCKS cannot)."""
        return not find_url_problem(self.url)

    @property
    def where(self) -> str:
        """The proxy in words, without user and password."""
        try:
            parts = urlsplit(self.url)
        except ValueError as error:
            return f"what is no URL ({error}; {self.variable})"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.variable})"


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxies of one environment, by the scheme of the URL, and the hosts that are asked without them."""

    by_scheme: Mapping[str, Proxy] = field(default_factory=dict)
    direct: tuple[str, ...] = ()

    def way_to(self, url: str) -> Proxy | None:
        """The proxy that `url` is asked through; None where it is asked directly."""
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme)
        host = (parts.hostname or "").rstrip(".")
        if proxy is None or is_this_machine(host):
            return None
        port = parts.port or PORTS[parts.scheme]
        return None if any(_is_meant(entry, host, port) for entry in self.direct) else proxy


NO_PROXIES = Proxies()


def proxies_in(environ: Mapping[str, str]) -> Proxies:
    """What the variables of `environ` say."""
    everywhere = _named(environ, "all_proxy")
    found = {scheme: _named(environ, f"{scheme}_proxy") or everywhere for scheme in SCHEMES}
    entries = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(" ", ",").split(",")
    return Proxies(
        by_scheme={scheme: proxy for scheme, proxy in found.items() if proxy},
        direct=tuple(entry.lower() for entry in entries if entry),
    )


def is_this_machine(host: str) -> bool:
    """Whether `host` is a loopback address, or its usual name."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _named(environ: Mapping[str, str], name: str) -> Proxy | None:
    for variable in (name, name.upper()):
        if value := environ.get(variable, "").strip():
            return Proxy(url=value if "://" in value else f"http://{value}", variable=variable)
    return None


def _is_meant(entry: str, host: str, port: int) -> bool:
    """Whether `entry` of no_proxy is about `host`: every host, an address, a network, or a name and all under it."""
    if entry == "*":
        return True
    if address := _address(host):
        return address in _network(entry)
    name, _, only = entry.partition(":")
    name = name.removeprefix("*").strip(".")
    return bool(name) and only in ("", str(port)) and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The addresses that `entry` means; the empty address, which no host has, where it means none."""
    text = entry.replace("[", "").replace("]", "")
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return NOBODY


NOBODY = ipaddress.ip_network("0.0.0.0/32")
