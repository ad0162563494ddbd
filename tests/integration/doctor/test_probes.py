"""The probes of doctor at real things: a SQLite file, a home, a Temporal, doors that are open, shut or silent."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.facts.facts import EndpointSeen, TemporalSeen
from stigmer_cli.doctor.facts.machine import probe_home
from stigmer_cli.doctor.facts.probes import probe_endpoint, probe_store, probe_temporal
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.target import Target
from tests.support.polling import eventually
from tests.support.temporal_server import DevServer, dev_server, free_port


def store(home: Home) -> Path:
    home.data.mkdir()
    with closing(sqlite3.connect(home.store_file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(200)])
        connection.commit()
    return home.store_file


def test_a_whole_store_is_whole_and_left_as_it_is(home: Home) -> None:
    path = store(home)
    before = path.read_bytes()
    seen = probe_store(Settings(home=home))
    assert (seen.exists, seen.has_header, seen.integrity) == (True, True, "ok")
    assert path.read_bytes() == before


def test_a_damaged_page_is_found_and_left_as_it_is(home: Home) -> None:
    path = store(home)
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)
    before = path.read_bytes()
    seen = probe_store(Settings(home=home))
    assert seen.has_header
    assert seen.integrity not in ("", "ok")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a database at all"])
def test_what_is_no_database_has_no_header(home: Home, content: bytes) -> None:
    home.data.mkdir()
    home.store_file.write_bytes(content)
    assert not probe_store(Settings(home=home)).has_header


def test_a_home_that_others_may_enter_shows_its_mode(home: Home) -> None:
    home.path.chmod(0o755)
    home.token_file.write_text("t")
    home.token_file.chmod(0o644)
    seen = probe_home(home)
    assert (seen.mode, seen.token_mode, seen.why_not_writable) == (0o755, 0o644, "")


async def reached(address: str, namespace: str = "default") -> tuple[EndpointSeen, TemporalSeen]:
    target = Target(address=address, namespace=namespace)
    endpoint = await probe_endpoint(target)
    return endpoint, await probe_temporal(endpoint, target, None, SystemClock())


async def _served(address: str) -> tuple[EndpointSeen, TemporalSeen] | None:
    """The first look that finds all of it at work, a little after its port has begun to answer."""
    endpoint, seen = await reached(address)
    return (endpoint, seen) if seen.state == "CONNECTED" and seen.backlog is not None else None


async def _cause(address: str, namespace: str) -> str:
    """Why it is misconfigured; empty while it is not seen to be."""
    seen = (await reached(address, namespace))[1]
    return seen.cause if seen.state == "MISCONFIGURED" else ""


async def test_a_closed_port_is_not_dialled() -> None:
    endpoint, seen = await reached(f"127.0.0.1:{free_port()}")
    assert (endpoint.why, seen.state, seen.cause) == ("connection refused", "DISCONNECTED", "connection refused")


async def test_a_temporal_is_reached_and_its_namespaces_are_distinguished(tmp_path: Path) -> None:
    with dev_server(tmp_path) as temporal:
        endpoint, seen = await eventually(lambda: _served(temporal.address), within_s=15)
        assert (endpoint.why, endpoint.silence, seen.state) == ("", "", "CONNECTED")
        assert (seen.pollers, seen.backlog) == ((), 0)
        assert seen.cluster_id
        assert seen.retention_s == 86_400, "a look raises nothing"
        assert await eventually(lambda: _cause(temporal.address, "missing"), within_s=15) == (
            'namespace "missing" not found'
        )


async def test_a_frozen_temporal_is_not_dialled(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal:
        temporal.start().freeze()
        endpoint, seen = await reached(temporal.address)
        assert (endpoint.why, seen.state) == ("", "DISCONNECTED"), "a dial would have left it CONNECTING"
        assert endpoint.silence.startswith("no answer within")
