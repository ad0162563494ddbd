"""Host names, ports and lists of hosts, as settings and requests name them."""

import ipaddress
import os
import re
import socket
from urllib.parse import urlsplit

from stigmer_cli.errors import ConfigError
from stigmer_cli.secret_values import hide_url_secrets

PORT_MAX = 65535
HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
HOST_NAME_MAX = 253


def own_host_name() -> str:
    """What this machine is called, as text that can be stored and sent.

    The kernel takes any bytes for it, as WSL sets it in the encoding of Windows; what is no UTF-8 becomes U+FFFD.
    """
    return os.fsencode(socket.gethostname()).decode("utf-8", "replace")


def hosts_to_try(host: str) -> tuple[str, ...]:
    """What to connect to for `host`, one after the other: `localhost` is this machine, by either address.

    Some systems know it by its IPv6 address only, and some not at all (RFC 6761, 6.3); a stack listens on 127.0.0.1.
    """
    return (host, "127.0.0.1", "::1") if host.lower().removesuffix(".") == "localhost" else (host,)


def parse_port(text: str) -> int:
    """A port from 1 to `PORT_MAX`; raises ConfigError."""
    try:
        port = int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a port number") from None
    if not 0 < port <= PORT_MAX:
        raise ConfigError(f"{port} is not a port: 1 to {PORT_MAX}")
    return port


def host_and_port(text: str) -> tuple[str, int | None]:
    """`name`, `name:port`, `[IPv6]` or `[IPv6]:port`, as the name that compares and the port, None where none is said.

    Names come back in lower case and without the dot that ends a full name; an IPv6 address in brackets and in its
    shortest form (RFC 5952). Raises ConfigError for anything else: user info, spaces, an empty port, a wildcard.
    """
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        name = f"[{_ipv6(inside)}]" if bracket else ""
        colon, port = rest[:1], rest[1:]
    else:
        name, colon, port = text.partition(":")
        name = name.lower().removesuffix(".")
        name = name if len(name) <= HOST_NAME_MAX and HOST_NAME.fullmatch(name) else ""
    if not name or (colon and not _is_digits(port)) or colon not in ("", ":"):
        raise ConfigError(f"{text!r} is not a host name, NAME or NAME:PORT")
    return name, parse_port(port) if colon else None


def _ipv6(text: str) -> str:
    try:
        return ipaddress.IPv6Address(text).compressed
    except ValueError:
        raise ConfigError(f"{text!r} is not an IPv6 address") from None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def parse_address(text: str) -> str:
    """HOST:PORT as it was written, checked; raises ConfigError."""
    if "@" in text:
        raise ConfigError(f"{text.rpartition('@')[2]!r} takes no user and no password before it")
    host, _, port = text.rpartition(":")
    if not host:
        raise ConfigError(f"{text!r} is not HOST:PORT")
    parse_port(port)
    return text


def parse_hosts(text: str) -> str:
    """Host names between commas, checked, as one text: a setting travels through an environment variable."""
    for one in text.split(","):
        if "*" in one:
            raise ConfigError(f"{one.strip()!r}: name each host, a wildcard admits anyone who gets a name under it")
        host_and_port(one.strip())
    return ",".join(one.strip() for one in text.split(","))


def find_url_problem(url: str) -> str:
    """Why `url` is no http:// or https:// URL of a host, as a sentence; empty if it is one."""
    if not url.startswith(("http://", "https://")):
        return f"{hide_url_secrets(url)!r} is not an http:// or https:// URL"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        why = "" if "@" in url else f": {error}"  # the words of the error are a part of what may be a password
        return f"{hide_url_secrets(url)!r} is no URL{why}"
    return "" if has_host else f"{hide_url_secrets(url)!r} names no host, or port 0"


def find_user_problem(url: str) -> str:
    """Why `url` cannot be a server's, as a sentence: a user or a password in it would be sent nowhere; else empty."""
    has_user = "@" in urlsplit(url).netloc
    return f"{hide_url_secrets(url)!r} names a user; the token (STIGMER_TOKEN) says who asks" if has_user else ""
