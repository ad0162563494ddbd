"""Faults of the runners: killed, frozen, told to go, poisoned, alive without asking for work, upgraded."""

import random
import signal

from stigmer_cli.runner.slots import ACTIVITIES_MAX
from tests.chaos.fault import RARE, Act, Fault
from tests.chaos.harness import Harness
from tests.chaos.workload import POISONOUS
from tests.replay.package import copy_package
from tests.support.polling import until_true

GOES_MAX_S = 20.0


async def _kill(harness: Harness, rng: random.Random) -> None:
    rng.choice(harness.runners).kill()


def _to_first(number: signal.Signals) -> Act:
    async def send(harness: Harness, _rng: random.Random) -> None:
        harness.runners[0].signal(number)

    return send


async def start_all(harness: Harness, _rng: random.Random) -> None:
    for runner in harness.runners:
        if runner.process is None:
            runner.start()


async def freeze_all(harness: Harness, _rng: random.Random) -> None:
    for runner in harness.runners:
        runner.signal(signal.SIGSTOP)


async def thaw_all(harness: Harness, _rng: random.Random) -> None:
    for runner in harness.runners:
        runner.signal(signal.SIGCONT)


async def _poison(harness: Harness, _rng: random.Random) -> None:
    harness.workload.request(1, POISONOUS)
    harness.workload.request(4)


async def _park(harness: Harness, _rng: random.Random) -> None:
    """Start a runner whose worker never polls; it must detect this by itself."""
    harness.runners[0].kill()
    harness.runners[0].start(is_parked=True)


async def _upgrade(harness: Harness, _rng: random.Random) -> None:
    """Stop one runner after another with SIGTERM; each starts again from a copy of the package with another version."""
    number = sum(1 for _ in harness.folder.glob("package-*")) + 1
    package = copy_package(harness.folder / f"package-{number}", f"{number}.0.0", slots=ACTIVITIES_MAX)
    for runner in harness.runners:
        before, runner.package = runner.process, package
        runner.signal(signal.SIGTERM)
        await until_true(lambda runner=runner, before=before: runner.process is not before, within_s=GOES_MAX_S)  # type: ignore[misc]


RUNNER: tuple[Fault, ...] = (
    Fault(name="R1 killed", inject=_kill, heal=start_all),
    Fault(
        name="R2 frozen",
        inject=_to_first(signal.SIGSTOP),
        heal=_to_first(signal.SIGCONT),
        lasts_s=(2.2, 3.2),
        weight=RARE,
    ),
    Fault(name="R3 told to go", inject=_to_first(signal.SIGTERM), lasts_s=(0.5, 1.0)),
    Fault(name="R4 poison", inject=_poison, weight=RARE),
    Fault(name="R5 parked", inject=_park, weight=RARE),
    Fault(name="Y4 upgraded", inject=_upgrade, weight=RARE),
)
