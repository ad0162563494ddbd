"""Draws where the dev server listens for HTTP: out of the reach of web pages, as far as the machine allows.

A page can aim at any address and port that it can guess. The web UI gets a loopback address and a port drawn at random,
some 2^38 pairs; the HTTP API and the metrics cannot leave 127.0.0.1 (the dev server's parts dial each other there), so
the supervisor closes their ports, and the UI's, to all connections but those from the drawn address (source_filter.py).
"""

import ipaddress
import random
import socket
from collections.abc import Callable

from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Settings
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import LOOPBACK
from stigmer_cli.temporal.dev_server import HttpEndpoints

FIRST_ADDRESS = int(ipaddress.IPv4Address("127.1.0.1"))
LAST_ADDRESS = int(ipaddress.IPv4Address("127.255.255.254"))
"""127.0.0.0/8 but its first part, in which machines keep addresses of their own (127.0.1.1, 127.0.0.53)."""

FIRST_PORT, LAST_PORT = 10_000, 32_767
"""Above what services use, below what the kernel gives to connections (ip_local_port_range, 32768 on): the ports must
be free again each time that Temporal is restarted."""

TRIES_MAX = 100


def draw_http_endpoints(
    settings: Settings,
    options: StackOptions,
    *,
    rng: random.Random | None = None,
    can_bind: Callable[[str, int], bool] | None = None,
) -> HttpEndpoints:
    """Draw address and ports of Temporal's HTTP endpoints, all free now.

    On a machine with only 127.0.0.1 (macOS), no address is drawn, and there is no UI unless `options.wants_ui`. Raises
    MachineError if a port that was asked for is taken, or none is free.
    """
    rng, can_bind = rng or random.SystemRandom(), can_bind or _can_bind
    source = _address(rng, can_bind)
    taken = {settings.server_port, settings.temporal_port}
    has_ui = not options.headless and (source is not None or options.wants_ui)
    ui_port = _ui_port(settings, source or LOOPBACK, rng, can_bind) if has_ui else None
    taken |= {ui_port} if ui_port else set()
    http_port = _port(LOOPBACK, taken, rng, can_bind)
    metrics_port = _port(LOOPBACK, taken | {http_port}, rng, can_bind)
    return HttpEndpoints(source=source, ui_port=ui_port, http_port=http_port, metrics_port=metrics_port)


def _address(rng: random.Random, can_bind: Callable[[str, int], bool]) -> str | None:
    address = str(ipaddress.IPv4Address(rng.randint(FIRST_ADDRESS, LAST_ADDRESS)))
    return address if can_bind(address, 0) else None


def _ui_port(settings: Settings, ip: str, rng: random.Random, can_bind: Callable[[str, int], bool]) -> int:
    if settings.ui_port is None:
        return _port(ip, {settings.server_port, settings.temporal_port}, rng, can_bind)
    if settings.ui_port in (settings.server_port, settings.temporal_port) or not can_bind(ip, settings.ui_port):
        raise MachineError(
            f"port {settings.ui_port} for Temporal's web UI is taken", hint="stigmer up --ui-port N, or leave it out"
        )
    return settings.ui_port


def _port(ip: str, taken: set[int], rng: random.Random, can_bind: Callable[[str, int], bool]) -> int:
    for _ in range(TRIES_MAX):
        port = rng.randint(FIRST_PORT, LAST_PORT)
        if port not in taken and can_bind(ip, port):
            return port
    raise MachineError(f"no free port from {FIRST_PORT} to {LAST_PORT} on {ip}", hint="end what holds them")


def _can_bind(ip: str, port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, port))
            probe.listen(1)
    except OSError:
        return False
    return True
