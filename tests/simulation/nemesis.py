"""The nemesis: faults of Temporal, of the link from runners to server, and of a server, by their catalogue names."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from stigmer_cli.temporal.gateway import RunState
from tests.simulation.simulation import Simulation
from tests.simulation.temporal_state import no_faults

Fault = Callable[[Simulation], Awaitable[None]]


async def inject_faults(simulation: Simulation, faults: int) -> None:
    """Inject `faults` random faults, one after another."""
    kinds = simulation.plan.kinds or sorted(FAULTS if simulation.plan.remembers else FAULTS | FORGETTING)
    for _ in range(faults):
        await asyncio.sleep(simulation.rng.uniform(0.1, 2.0))
        kind = simulation.rng.choice(kinds)
        simulation.faults[kind] += 1
        await (FAULTS | FORGETTING)[kind](simulation)


def _conditions(**change: float | bool) -> Fault:
    async def fault(simulation: Simulation) -> None:
        conditions = simulation.temporal.conditions
        for name, value in change.items():
            setattr(conditions, name, value)
        await asyncio.sleep(simulation.rng.choice([0.05, 0.5, 2.0, 6.0]))
        for name in change:
            setattr(conditions, name, getattr(no_faults(), name))

    return fault


def _link(**change: float) -> Fault:
    async def fault(simulation: Simulation) -> None:
        for name, value in change.items():
            setattr(simulation.link, name, value)
        await asyncio.sleep(simulation.rng.uniform(0.5, 6))
        for name in change:
            setattr(simulation.link, name, 0.0)

    return fault


async def _crash(simulation: Simulation) -> None:
    number = simulation.rng.randrange(simulation.plan.servers)
    if simulation.servers[number] is not None:
        await simulation.kill_server(number)
        await asyncio.sleep(simulation.rng.choice([0.01, 1.0, 6.0]))
        simulation.start_server(number)


async def _wipe(simulation: Simulation) -> None:
    simulation.temporal.conditions.is_up = False
    await asyncio.sleep(simulation.rng.uniform(0, 2))
    simulation.temporal.wipe()
    simulation.temporal.conditions.is_up = True


async def _restore_older_copy(simulation: Simulation) -> None:
    temporal = simulation.temporal
    copy = {name: replace(run, token=0, lease_s=None) for name, run in temporal.runs.items()}
    await asyncio.sleep(simulation.rng.uniform(0.5, 6))
    temporal.conditions.is_up = False
    await asyncio.sleep(simulation.rng.uniform(0, 2))
    temporal.forgotten |= temporal.runs.keys()
    temporal.runs = copy
    temporal.conditions.is_up = True


async def _retention(simulation: Simulation) -> None:
    simulation.temporal.forget_closed()


async def _terminate(simulation: Simulation) -> None:
    open_ones = [run for run in simulation.temporal.runs.values() if run.state is RunState.OPEN]
    if open_ones:
        simulation.temporal.terminate(simulation.rng.choice(open_ones))


FAULTS: dict[str, Fault] = {
    "T1 temporal killed": _conditions(is_up=False),
    "T4 temporal frozen": _conditions(is_frozen=True),
    "T6 temporal slow": _conditions(slow_s=0.7),
    "T9 namespace missing": _conditions(has_namespace=False),
    "T12 throttled": _conditions(throttle_cpu=0.5, not_serving=0.3),
    "T13 not serving": _conditions(not_serving=1.0),
    "T14 denied": _conditions(is_denied=True),
    "N3 replies lost": _conditions(lose_reply=0.5),
    "N4 requests lost": _conditions(lose_request=0.5),
    "N5 starts arrive late": _conditions(late=0.5),
    "R2 reports late": _link(late_s=5.0),
    "R5 reports lost": _link(lose_request=0.3, lose_reply=0.3),
    "S3 server killed": _crash,
}
FORGETTING: dict[str, Fault] = {
    "T7 temporal emptied": _wipe,
    "T8 temporal from an older copy": _restore_older_copy,
    "T10 retention": _retention,
    "terminated by hand": _terminate,
}
