"""The connection against a Temporal that is killed, frozen, emptied and brought back; times are printed."""

import asyncio
import http.client
import random
import re
import time
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import psutil
import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.temporal.connection import MEMORY_LOST, Connection
from stigmer_cli.temporal.errors import Misconfigured, TemporalUnavailable
from stigmer_cli.temporal.gateway import Gateway
from tests.integration.temporal.conftest import connection_to
from tests.support.ids import STORE, workflow
from tests.support.polling import eventually, until_true
from tests.support.temporal_server import DevServer, client_of

S = ConnectionState


class Address(NamedTuple):
    ip: str
    port: int


THAWED_MAX_S = 10.0
STALL_S = 3.0
"""What a busy machine may add to a deadline; without any, the calls of this file would take 15 to 30 s."""

EXECUTION = ExecutionId("aex-00000000000000000000000001")


async def until(connection: Connection, state: ConnectionState, *, within_s: float) -> float:
    return await until_true(lambda: connection.status().state is state, within_s=within_s, what=f"{state}")


async def begin(temporal: DevServer) -> None:
    """Start it and return when it serves, which on a busy machine is long after its port answers."""
    temporal.start()
    await client_of(temporal)


async def test_temporal_that_starts_later_is_found_within_two_seconds(temporal: DevServer) -> None:
    async with connection_to(temporal) as connection:
        await until(connection, S.DISCONNECTED, within_s=2)
        assert connection.status().cause == "connection refused"
        await begin(temporal)
        print(f"found {await until(connection, S.CONNECTED, within_s=2):.3f} s after it served")


async def test_a_killed_temporal_is_seen_at_the_next_call_and_found_again_on_the_same_port(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        await connection.wait_connected()
        before = connection.status()
        gateway = Gateway(connection, store=STORE, clock=SystemClock(), rng=random.Random(2))
        temporal.kill()
        begun = time.monotonic()
        with pytest.raises(TemporalUnavailable):
            await gateway.start(workflow(EXECUTION), timeout_s=None)
        await until(connection, S.DISCONNECTED, within_s=1)
        print(f"kill seen {time.monotonic() - begun:.3f} s after the next call")
        await begin(temporal)
        print(f"found {await until(connection, S.CONNECTED, within_s=2):.3f} s after it served")
        after = connection.status()
        assert (after.cluster_id, after.namespace_id) == (before.cluster_id, before.namespace_id)
        assert (after.cluster_changes, after.reconnects, connection.generation) == (0, 1, 2)
        started = await gateway.start(workflow(EXECUTION), timeout_s=None)
        assert started.run_id


async def test_a_killed_temporal_is_seen_at_once_without_a_call(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        connection.pace = replace(connection.pace, probe_every_s=3600.0)  # no probe sees it before the line does
        await connection.wait_connected()
        await until_true(lambda: connection._line is not None, within_s=STALL_S)
        temporal.kill()
        seen_s = await until(connection, S.DISCONNECTED, within_s=STALL_S)
        print(f"kill seen after {seen_s:.3f} s")


async def test_a_frozen_temporal_is_suspect_then_lost_then_found_when_it_thaws(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        await connection.wait_connected()
        temporal.freeze()
        suspect_s = await until(connection, S.SUSPECT, within_s=3 + STALL_S)
        lost_s = suspect_s + await until(connection, S.DISCONNECTED, within_s=2 + STALL_S)
        print(f"freeze suspected after {suspect_s:.3f} s, lost after {lost_s:.3f} s")
        assert connection.status().cause == "not answering (deadline 1s)"
        assert lost_s < STALL_S + 3.0  # to the tenth of a second in virtual time, and in the benchmark
        temporal.thaw()
        print(f"thaw seen after {await until(connection, S.CONNECTED, within_s=STALL_S + 3.0):.3f} s")


async def test_a_start_into_a_frozen_temporal_ends_within_its_total_deadline(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        await connection.wait_connected()
        gateway = Gateway(connection, store=STORE, clock=SystemClock(), rng=random.Random(2))
        temporal.freeze()
        begun = time.monotonic()
        with pytest.raises(TemporalUnavailable):
            await gateway.start(workflow(EXECUTION), timeout_s=None)
        assert time.monotonic() - begun < STALL_S + 2.0
        temporal.thaw()
        start = partial(gateway.start, workflow(EXECUTION), timeout_s=None)
        started = await eventually(start, within_s=THAWED_MAX_S, despite=TemporalUnavailable)
        look = partial(gateway.describe, workflow(EXECUTION))
        observed = await eventually(look, within_s=THAWED_MAX_S, despite=TemporalUnavailable)
        assert observed is not None
        assert observed.run_id == started.run_id


async def test_an_emptied_temporal_is_another_cluster(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        await connection.wait_connected()
        before = connection.status()
        temporal.kill()
        temporal.forget()
        await until(connection, S.DISCONNECTED, within_s=2)
        await begin(temporal)
        await until(connection, S.CONNECTED, within_s=2)
        after = connection.status()
        assert after.cluster_id != before.cluster_id
        assert after.namespace_id != before.namespace_id
        assert (after.cluster_changes, after.history[-1].cause) == (1, MEMORY_LOST)


async def test_a_missing_namespace_is_misconfigured_until_it_is_created(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal, namespace="shop") as connection:
        await until(connection, S.MISCONFIGURED, within_s=15)
        assert connection.status().cause == 'namespace "shop" not found'
        with pytest.raises(Misconfigured):
            connection.client()
        await asyncio.to_thread(temporal.operator, "namespace", "create", "-n", "shop")
        print(f"new namespace noticed after {await until(connection, S.CONNECTED, within_s=6):.3f} s")


async def test_the_retention_of_our_own_server_is_raised_and_of_a_foreign_one_left_alone(temporal: DevServer) -> None:
    temporal.start()
    async with connection_to(temporal) as connection:
        await connection.wait_connected()
        assert "24h0m0s" in await asyncio.to_thread(temporal.operator, "namespace", "describe", "-n", "default")

    async def is_raised() -> bool:
        return "720h0m0s" in await asyncio.to_thread(temporal.operator, "namespace", "describe", "-n", "default")

    async with connection_to(temporal, is_own=True):
        await eventually(is_raised, within_s=15)


async def test_nothing_of_the_server_listens_beyond_loopback_and_its_http_api_is_closed(temporal: DevServer) -> None:
    temporal.start()

    def http_api_refuses() -> bool:
        # Its port opens a little after the one that clients use.
        return 403 in [_http_status(address.port) for address in _listening(temporal.pid)]

    await until_true(http_api_refuses, within_s=10)
    found = _listening(temporal.pid)
    assert [address for address in found if not re.fullmatch(r"127\.\d+\.\d+\.\d+|::1", address.ip)] == []
    open_ports = [address.port for address in found if _http_status(address.port) == 200]
    assert [port for port in open_ports if _http_status(port, "/metrics") != 200] == []


def _listening(pid: int) -> list[Address]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [Address(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN]


def _http_status(port: int, path: str = "/api/v1/namespaces") -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
