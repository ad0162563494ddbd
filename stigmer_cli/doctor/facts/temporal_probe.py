"""Probes Temporal from this process, through the same connection and gateway that the server uses."""

import asyncio
import contextlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import psutil

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import Clock
from stigmer_cli.doctor.facts.facts import TemporalSeen
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import StoreId, task_queue_of
from stigmer_cli.errors import StigmerError
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.host_names import own_host_name
from stigmer_cli.judgement.observation import Observation, look_up
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.gateway import Gateway, Poller
from stigmer_cli.temporal.target import Target, pace_of
from stigmer_cli.time_format import span

DIAL_S = 1.0
ASK_S = 0.6
PATIENT_S = 15.0
FIXED_RNG = random.Random(0)  # noqa: S311 - jitters only the second dial, which this process never waits for
IDENTITY = "stigmer-doctor"
RUNNER = re.compile(r"stigmer-runner/(?P<pid>\d+)@(?P<host>[^/]*)(/.*)?")


async def dial_temporal(
    target: Target, store: StoreId | None, *, clock: Clock, waits_for: Sequence[int] = ()
) -> TemporalSeen:
    """The state that a connection to `target` reaches, and who polls for `store`; takes `DIAL_S + ASK_S` at most."""
    async with asyncio.TaskGroup() as group:
        connection = _connection(target, clock)
        dialling = group.create_task(connection.run(), name="temporal")
        try:
            async with FairTimeout(DIAL_S, waits_for=waits_for):
                await connection.wait_changed(0)
            seen = await _ask_temporal(
                connection, Gateway(connection, store=store, clock=clock, rng=FIXED_RNG), waits_for
            )
            return replace(seen, task_queue=task_queue_of(store))
        except TimeoutError:
            cause = f"no answer within {span(DIAL_S)}"
            return TemporalSeen(state=ConnectionState.CONNECTING, cause=cause)
        finally:
            dialling.cancel()


async def probe_runs(target: Target, asked: Sequence[Execution], *, clock: Clock) -> Mapping[str, Observation]:
    """What Temporal says of each of `asked`, by its id, as far as answers come in time."""
    found: dict[str, Observation] = {}
    async with asyncio.TaskGroup() as group:
        connection = _connection(target, clock)
        dialling = group.create_task(connection.run(), name="temporal")
        gateway = Gateway(connection, store=None, clock=clock, rng=FIXED_RNG)
        with contextlib.suppress(TimeoutError, StigmerError):
            async with FairTimeout(DIAL_S):
                await connection.wait_connected()
                for one in asked:
                    found[one.id] = await look_up(one, gateway)
        dialling.cancel()
    return {name: observation for name, observation in found.items() if not observation.unknown}


def _connection(target: Target, clock: Clock) -> Connection:
    pace = replace(pace_of(target), dial_s=PATIENT_S, probe_s=PATIENT_S)  # our deadline is the one that counts
    return Connection(target, clock=clock, rng=FIXED_RNG, identity=IDENTITY, pace=pace)


async def _ask_temporal(connection: Connection, gateway: Gateway, waits_for: Sequence[int]) -> TemporalSeen:
    status = connection.status()
    seen = TemporalSeen(
        state=status.state,
        cause=status.cause,
        cluster_id=status.cluster_id,
        namespace_id=status.namespace_id,
        retention_s=status.retention_s,
    )
    if not seen.is_connected:
        return seen
    with contextlib.suppress(TimeoutError, StigmerError):
        async with FairTimeout(ASK_S, waits_for=waits_for):
            pollers = tuple(await gateway.pollers())
            seen = replace(seen, pollers=pollers, gone=_find_gone(pollers))
            seen = replace(seen, backlog=await gateway.backlog())
    return seen


def _find_gone(pollers: Sequence[Poller]) -> frozenset[str]:
    """The pollers whose process on this machine has ended: Temporal lists them for another five minutes."""
    return frozenset(poller.identity for poller in pollers if _has_ended(poller.identity))


def _has_ended(identity: str) -> bool:
    found = RUNNER.fullmatch(identity)
    return found is not None and found["host"] == own_host_name() and not psutil.pid_exists(int(found["pid"]))
