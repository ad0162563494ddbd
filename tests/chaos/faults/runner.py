"""Faults of the runners, R1 to R5: killed, frozen, told to go, poisoned, and alive without asking for work."""

import random
import signal

from tests.chaos.fault import RARE, Act, Fault
from tests.chaos.stage import Stage
from tests.chaos.workload import POISONOUS


async def _kill(stage: Stage, rng: random.Random) -> None:
    rng.choice(stage.runners).kill()


def _to_first(number: signal.Signals) -> Act:
    async def send(stage: Stage, _rng: random.Random) -> None:
        stage.runners[0].signal(number)

    return send


async def start_all(stage: Stage, _rng: random.Random) -> None:
    for runner in stage.runners:
        if runner.process is None:
            runner.start()


async def freeze_all(stage: Stage, _rng: random.Random) -> None:
    for runner in stage.runners:
        runner.signal(signal.SIGSTOP)


async def thaw_all(stage: Stage, _rng: random.Random) -> None:
    for runner in stage.runners:
        runner.signal(signal.SIGCONT)


async def _poison(stage: Stage, _rng: random.Random) -> None:
    stage.workload.wish(1, POISONOUS)
    stage.workload.wish(4)


async def _park(stage: Stage, _rng: random.Random) -> None:
    """A runner whose worker never polls; it has to find out by itself, while others go on."""
    stage.runners[0].kill()
    stage.runners[0].start(is_parked=True)


RUNNER: tuple[Fault, ...] = (
    Fault(name="R1 killed", hurt=_kill, mend=start_all),
    Fault(
        name="R2 frozen",
        hurt=_to_first(signal.SIGSTOP),
        mend=_to_first(signal.SIGCONT),
        lasts_s=(2.2, 3.2),
        weight=RARE,
    ),
    Fault(name="R3 told to go", hurt=_to_first(signal.SIGTERM), lasts_s=(0.5, 1.0)),
    Fault(name="R4 poison", hurt=_poison, weight=RARE),
    Fault(name="R5 parked", hurt=_park, weight=RARE),
)
