"""Chooses the ports of a project's stack: such as no other known home uses, also none that is down now."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from stigmer_cli.errors import MachineError
from stigmer_cli.home_trust import inspect_home
from stigmer_cli.settings import SERVER_PORT, TEMPORAL_PORT, Home
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.ports import is_free
from stigmer_cli.stack.settings_record import read_settings_record

PORT_NAMES = ("server_port", "temporal_port", "ui_port")
STEP = 10
LAST_PORT = 9_999
"""Below the ports that Temporal's HTTP endpoints are drawn from (http_endpoints.py)."""


def choose_ports(others: Iterable[Path]) -> tuple[int, int]:
    """Ports for server and Temporal that are free now and that none of the homes `others` uses.

    They keep the distance of the default ones: 7244 and 7243, 7254 and 7253, and so on. Raises MachineError if none
    is left.
    """
    taken = {port for path in others for port in ports_of(Home(path=path))}
    for offset in range(STEP, LAST_PORT - SERVER_PORT, STEP):
        server, temporal = SERVER_PORT + offset, TEMPORAL_PORT + offset
        if not {server, temporal} & taken and is_free(server) and is_free(temporal):
            return server, temporal
    raise MachineError(f"no two ports up to {LAST_PORT} are free", hint="stigmer ls shows who uses them")


def ports_of(home: Home) -> frozenset[int]:
    """The ports that the stack of `home` uses whenever it runs, as far as its files say; none if it is not to trust."""
    if not home.path.is_dir() or inspect_home(home.path):
        return frozenset()
    record, found = read_settings_record(home), read_endpoints(home)
    given = [record.find_given(name) for name in PORT_NAMES] if record else []
    recorded = [int(one.value) for one in given if one and one.value and one.value.isdigit()]
    running = [port for ports in found.ports.values() for port in ports] if found else []
    return frozenset({*configured_ports(home), *recorded, *running})


def configured_ports(home: Home) -> Sequence[int]:
    """The ports that the home's config.toml names; none if it cannot be read."""
    try:
        found = tomllib.loads(home.config_file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return []
    return [port for name in PORT_NAMES if isinstance(port := found.get(name), int)]
