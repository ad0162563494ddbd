"""The nemesis: faults as data, each by its name in FAULTS.md, hurting one thing and mending it again."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tests.chaos.proxy import Toxics
from tests.chaos.stage import Stage

EMPTIED = "T7 temporal emptied"

Act = Callable[[Stage, random.Random], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`hurt`, some seconds, `mend`. `cuts_off`: Temporal cannot be reached meanwhile, which must be noticed."""

    name: str
    hurt: Act
    mend: Act
    lasts_s: tuple[float, float] = (0.3, 2.0)
    cuts_off: bool = False


async def _kill_temporal(stage: Stage, _rng: random.Random) -> None:
    stage.temporal.kill()


async def _start_temporal(stage: Stage, _rng: random.Random) -> None:
    await asyncio.to_thread(stage.temporal.start)


async def _start_empty(stage: Stage, _rng: random.Random) -> None:
    stage.temporal.forget()
    await asyncio.to_thread(stage.temporal.start)


async def _freeze_temporal(stage: Stage, _rng: random.Random) -> None:
    stage.temporal.freeze()


async def _thaw_temporal(stage: Stage, _rng: random.Random) -> None:
    stage.temporal.thaw()


def _toxic(**change: float) -> Act:
    async def hurt(stage: Stage, _rng: random.Random) -> None:
        stage.proxy.toxics = replace(stage.proxy.toxics, **change)  # type: ignore[arg-type]
        if stage.proxy.toxics.is_refusing:
            stage.proxy.reset()

    return hurt


async def _pure(stage: Stage, _rng: random.Random) -> None:
    stage.proxy.toxics = Toxics()


async def _pure_and_reset(stage: Stage, _rng: random.Random) -> None:
    stage.proxy.reset()  # what was held back is lost for good
    stage.proxy.toxics = Toxics()


async def _kill_server(stage: Stage, _rng: random.Random) -> None:
    stage.server.kill()


async def _start_server(stage: Stage, _rng: random.Random) -> None:
    await stage.server.start()


def _to_server(number: signal.Signals) -> Act:
    async def send(stage: Stage, _rng: random.Random) -> None:
        if stage.server.process is not None:
            stage.server.process.send_signal(number)

    return send


async def _kill_runner(stage: Stage, rng: random.Random) -> None:
    rng.choice(stage.runners).kill()


def _to_first_runner(number: signal.Signals) -> Act:
    async def send(stage: Stage, _rng: random.Random) -> None:
        stage.runners[0].signal(number)

    return send


async def _start_runners(stage: Stage, _rng: random.Random) -> None:
    for runner in stage.runners:
        if runner.process is not None and runner.process.poll() is not None:
            runner.kill()
        if runner.process is None:
            runner.start()


FAULTS: tuple[Fault, ...] = (
    Fault(name="T1 temporal killed", hurt=_kill_temporal, mend=_start_temporal, cuts_off=True),
    Fault(name="T4 temporal frozen", hurt=_freeze_temporal, mend=_thaw_temporal, lasts_s=(2.5, 4.0), cuts_off=True),
    Fault(name="T6 temporal slow", hurt=_toxic(latency_s=0.3), mend=_pure),
    Fault(name=EMPTIED, hurt=_kill_temporal, mend=_start_empty, cuts_off=True),
    Fault(name="N1 reset and refused", hurt=_toxic(is_refusing=True), mend=_pure, cuts_off=True),
    Fault(
        name="N2 silence",
        hurt=_toxic(is_silent_up=True, is_silent_down=True),
        mend=_pure,
        lasts_s=(2.5, 4.0),
        cuts_off=True,
    ),
    Fault(
        name="N3 replies lost",
        hurt=_toxic(is_silent_down=True),
        mend=_pure_and_reset,
        lasts_s=(2.5, 4.0),
        cuts_off=True,
    ),
    Fault(name="N4 cut after some bytes", hurt=_toxic(cut_after_bytes=6000), mend=_pure),
    Fault(name="N4 sliced", hurt=_toxic(slice_bytes=7), mend=_pure),
    Fault(name="N5 jitter", hurt=_toxic(latency_s=0.05, jitter_s=0.1), mend=_pure),
    Fault(name="N8 reset once", hurt=_pure_and_reset, mend=_pure, lasts_s=(0.0, 0.3)),
    Fault(name="S3 server killed", hurt=_kill_server, mend=_start_server, lasts_s=(0.0, 1.0)),
    Fault(
        name="S6 server frozen",
        hurt=_to_server(signal.SIGSTOP),
        mend=_to_server(signal.SIGCONT),
        lasts_s=(0.5, 3.0),
    ),
    Fault(name="R1 runner killed", hurt=_kill_runner, mend=_start_runners),
    Fault(
        name="R2 runner frozen",
        hurt=_to_first_runner(signal.SIGSTOP),
        mend=_to_first_runner(signal.SIGCONT),
        lasts_s=(2.5, 4.0),
    ),
    Fault(name="R3 runner told to go", hurt=_to_first_runner(signal.SIGTERM), mend=_start_runners, lasts_s=(1.0, 4.5)),
)
