"""The table of the connection's moves."""

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.temporal.journal import LEVELS
from stigmer_cli.temporal.state import HAS_CLIENT, TRANSITIONS

GOLDEN = """\
CONNECTING -> CONNECTED DISCONNECTED MISCONFIGURED STOPPED
CONNECTED -> DISCONNECTED MISCONFIGURED STOPPED SUSPECT
SUSPECT -> CONNECTED DISCONNECTED MISCONFIGURED STOPPED
DISCONNECTED -> CONNECTED MISCONFIGURED STOPPED
MISCONFIGURED -> CONNECTED DISCONNECTED STOPPED
STOPPED ->"""


def test_the_moves_are_exactly_these() -> None:
    assert "\n".join(f"{old} -> {' '.join(sorted(new))}".rstrip() for old, new in TRANSITIONS.items()) == GOLDEN


def test_every_state_has_moves_and_a_level() -> None:
    assert set(TRANSITIONS) == set(LEVELS) == set(ConnectionState)


def test_calls_go_out_only_where_a_probe_has_answered() -> None:
    assert {ConnectionState.CONNECTED, ConnectionState.SUSPECT} == HAS_CLIENT


def test_suspect_comes_only_after_connected() -> None:
    assert [old for old in TRANSITIONS if ConnectionState.SUSPECT in TRANSITIONS[old]] == [ConnectionState.CONNECTED]
