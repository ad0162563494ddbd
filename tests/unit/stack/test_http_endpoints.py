"""Where Temporal's own HTTP listeners go: drawn, free, and away from 127.0.0.1 wherever that can be."""

import ipaddress
import random
from pathlib import Path

import pytest

from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.http_endpoints import FIRST_PORT, LAST_PORT, draw_http_endpoints
from stigmer_cli.stack.options import StackOptions

SETTINGS = Settings(home=Home(path=Path("/nowhere")))
LOOPBACK = "127.0.0.1"


def _anywhere(_ip: str, _port: int) -> bool:
    return True


def _only_loopback(ip: str, _port: int) -> bool:
    return ip == LOOPBACK


def test_every_stack_has_an_address_and_ports_of_its_own() -> None:
    drawn = [
        draw_http_endpoints(SETTINGS, StackOptions(), rng=random.Random(seed), can_bind=_anywhere)
        for seed in range(200)
    ]

    assert len({doors.source for doors in drawn}) == 200
    for doors in drawn:
        assert doors.source is not None
        assert ipaddress.ip_address(doors.source).is_loopback
        assert not doors.source.startswith("127.0.")
        assert len(set(doors.ports)) == 3
        assert all(FIRST_PORT <= port <= LAST_PORT for port in doors.ports)
        assert doors.ui_address == f"{doors.source}:{doors.ui_port}"


def test_drawn_addresses_are_not_predictable() -> None:
    assert draw_http_endpoints(SETTINGS, StackOptions(), can_bind=_anywhere) != draw_http_endpoints(
        SETTINGS, StackOptions(), can_bind=_anywhere
    )


def test_a_taken_port_is_drawn_again() -> None:
    first = draw_http_endpoints(SETTINGS, StackOptions(), rng=random.Random(1), can_bind=_anywhere)
    taken = {(LOOPBACK, first.http_port), (first.source, first.ui_port)}

    again = draw_http_endpoints(
        SETTINGS, StackOptions(), rng=random.Random(1), can_bind=lambda ip, port: (ip, port) not in taken
    )

    assert again.source == first.source
    assert again.ui_port != first.ui_port
    assert again.http_port != first.http_port


def test_where_nothing_is_free_it_says_so_instead_of_drawing_for_ever() -> None:
    with pytest.raises(MachineError, match="no free port from 10000 to 32767 on"):
        draw_http_endpoints(SETTINGS, StackOptions(), can_bind=lambda _ip, port: port == 0)


def test_a_port_that_was_asked_for_is_taken_at_the_drawn_address() -> None:
    settings = Settings(home=SETTINGS.home, ui_port=8233)
    doors = draw_http_endpoints(settings, StackOptions(), can_bind=_anywhere)
    assert doors.ui_address == f"{doors.source}:8233"

    with pytest.raises(MachineError, match="port 8233 for Temporal's web UI is taken"):
        draw_http_endpoints(settings, StackOptions(), can_bind=lambda _ip, port: port != 8233)


def test_without_a_ui_the_other_ports_are_still_drawn_and_closed() -> None:
    doors = draw_http_endpoints(SETTINGS, StackOptions(headless=True), can_bind=_anywhere)
    assert doors.source is not None
    assert doors.ui_address is None
    assert doors.ports == (doors.http_port, doors.metrics_port)


def test_where_there_is_only_127_0_0_1_there_is_no_ui_unless_it_is_asked_for() -> None:
    doors = draw_http_endpoints(SETTINGS, StackOptions(), can_bind=_only_loopback)
    assert (doors.source, doors.ui_address) == (None, None)

    asked = draw_http_endpoints(SETTINGS, StackOptions(wants_ui=True), can_bind=_only_loopback)
    assert asked.source is None
    assert asked.ui_address == f"127.0.0.1:{asked.ui_port}"
    assert (
        draw_http_endpoints(SETTINGS, StackOptions(wants_ui=True, headless=True), can_bind=_only_loopback).ui_port
        is None
    )
