"""The upgrade drill: executions under way, the package of one runner after the other replaced by another version.

Printed with its seed. The short form, with a patched workflow, runs with every suite, the long one of 500 executions
with `--slow`.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from temporalio.client import Client as TemporalClient

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from tests.chaos import ledger
from tests.chaos.invariants import list_rows
from tests.replay.package import SLOTS, Change, CopiedRunner, claim_apart, copy_package
from tests.support.machine_load import slack
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import DevServer

RUNNERS = 2
STOPS_MAX_S = 20.0
SEEN_MAX_S = 60.0
SHOWN_MAX_S = 10.0
LONG_MAX_S = 900
AT_ONCE = 20
WORDS = (4, 9)
"""Of a message: at 0.2 s each, so that most performances end within the grace of a runner that stops."""

FILLING = (50, 50)
"""Of one that holds a slot for ten seconds."""

CLAIMS_MIN = 5


@dataclass
class Drill:
    """Everything that takes part, and which version each runner has."""

    home: Path
    temporal: DevServer
    server: Served
    client: Client
    rng: random.Random
    runners: list[CopiedRunner] = field(default_factory=list)
    count: int = 0

    def start(self, package: Path) -> CopiedRunner:
        """One more runner, from this copy of the package."""
        runner = CopiedRunner(package, self.home, self.temporal.address, self.server.url, self.count)
        self.count += 1
        self.runners.append(runner)
        return runner

    async def replace(self, package: Path) -> None:
        """One runner after the other: told to go, gone, and another in its place that Temporal has seen."""
        for old in list(self.runners):
            await asyncio.to_thread(old.stop, STOPS_MAX_S)
            self.runners.remove(old)
            await self.until_polling(self.start(package))

    async def replace_at_once(self, package: Path) -> None:
        """All runners told to go, and as many others started when they are gone."""
        stopping, self.runners = self.runners, []
        async with asyncio.TaskGroup() as group:
            for old in stopping:
                group.create_task(asyncio.to_thread(old.stop, STOPS_MAX_S))
        for _ in stopping:
            self.start(package)
        for runner in self.runners:
            await self.until_polling(runner)

    async def until_polling(self, runner: CopiedRunner) -> None:
        async def polling() -> bool:
            return runner.is_polling

        await eventually(polling, within_s=SEEN_MAX_S, what=f"a poller: {runner.log}")

    async def accept(self, number: int, words: tuple[int, int] = WORDS) -> None:
        """So many executions, a few at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: str, size: int) -> None:
            async with gate:
                await accept(self.client, key, message=" ".join(["word"] * size))

        async with asyncio.TaskGroup() as group:
            for index in range(number):
                group.create_task(one(f"drill-{words}-{index}", self.rng.randint(*words)))

    async def phases(self) -> Counter[Phase]:
        return Counter(row.status.phase for row in (await list_rows(self.client)).values())

    async def until_under_way(self) -> None:
        async def some_done() -> bool:
            counts = await self.phases()
            return bool(counts[Phase.COMPLETED] and counts[Phase.IN_PROGRESS] and counts[Phase.PENDING])

        await eventually(some_done, within_s=SEEN_MAX_S, what="some done, some in progress, some waiting")

    async def until_claims_wait(self) -> None:
        """Until some runs, which their workflow's code has begun, wait for a slot to claim in."""
        temporal = await TemporalClient.connect(self.temporal.address)

        async def claims_wait() -> bool:
            rows = [row.status for row in (await list_rows(self.client)).values()]
            begun = [one.dispatch.workflow_id for one in rows if one.phase is Phase.PENDING and one.dispatch.run_id]
            seen = [await temporal.get_workflow_handle(name).describe() for name in begun]
            return sum(bool(one.raw_description.pending_activities) for one in seen) >= CLAIMS_MIN

        await eventually(claims_wait, within_s=SEEN_MAX_S, what="claims that wait for a slot")

    async def until_all_perform(self, number: int) -> None:
        async def all_perform() -> bool:
            return (await self.phases())[Phase.IN_PROGRESS] == number

        await eventually(all_perform, within_s=SEEN_MAX_S, what=f"{number} in progress")

    async def until_all_ended(self, *, within_s: float) -> Counter[Phase]:
        async def ended() -> Counter[Phase] | None:
            counts = await self.phases()
            return counts if all(phase.is_terminal for phase in counts) else None

        return await eventually(ended, within_s=within_s, what="the end of all")

    async def wrong_effects(self) -> list[str]:
        """What the ledger says that it should not; empty where nothing was performed twice."""
        lines, found = ledger.read(self.home / "ledger.jsonl"), []
        for name, row in (await list_rows(self.client)).items():
            events = await self.client.events(name)
            claims = [str(event.data["run"]) for event in events if event.type is EventType.CLAIMED]
            at_s = [event.at.timestamp() for event in events if event.type is EventType.COMPLETED]
            found += [f"{name}: {wrong}" for wrong in [_wrong(row, lines.get(name, ()), claims, at_s)] if wrong]
        return found

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What the command says, as a person on this machine would see it."""
        return subprocess.run(
            [sys.executable, "-m", "stigmer_cli.cli", *arguments],
            env={
                **os.environ,
                "STIGMER_HOME": str(self.home),
                "STIGMER_SERVER_URL": self.server.url,
                "STIGMER_TEMPORAL_ADDRESS": self.temporal.address,
                "STIGMER_TOKEN": TOKEN,
                "COLUMNS": "200",
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def _wrong(
    row: ExecutionResource, lines: Sequence[ledger.Line], claims: Sequence[str], completed_s: Sequence[float]
) -> str:
    if row.status.phase is Phase.COMPLETED and len(completed_s) != 1:
        return f"completed {len(completed_s)} times"
    if row.status.phase is Phase.COMPLETED and not lines:
        return "completed without a performance"
    return ledger.wrong_effects(lines, claims, completed_s[0] if completed_s else None)


@asynccontextmanager
async def drill(home: Path, seed: int, *, claims_apart: bool = False) -> AsyncIterator[Drill]:
    """A Temporal, a server and two runners of the version before; all gone at the end."""
    print(f"seed {seed}")
    home.mkdir(mode=0o700)  # noqa: ASYNC240 - one folder
    before = copy_package(home / "before", "1.0.0")
    if claims_apart:
        claim_apart(before)
    with DevServer(home, file=home / "temporal.db") as temporal:
        await asyncio.to_thread(temporal.start)
        async with served(home, temporal.address) as server, server.client() as client:
            await server.until()
            found = Drill(home, temporal, server, client, random.Random(seed))
            try:
                await make_agent(client, model="echo:slow")
                for _ in range(RUNNERS):
                    found.start(before)
                for runner in found.runners:
                    await found.until_polling(runner)
                yield found
            finally:
                for runner in found.runners:
                    runner.kill()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Change.NONE, marks=pytest.mark.slow, id="the same workflow"),
        pytest.param(Change.PATCHED, id="a patched workflow"),
    ],
)
@pytest.mark.parametrize("number", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(LONG_MAX_S)])])
async def test_runner_by_runner_all_that_is_under_way_ends_and_nothing_is_done_twice(
    tmp_path: Path, number: int, change: Change
) -> None:
    async with drill(tmp_path / "home", seed=number) as upgrade:
        after = copy_package(tmp_path / "after", "2.0.0", change)
        async with asyncio.TaskGroup() as group:
            group.create_task(upgrade.accept(number))
            await upgrade.until_under_way()
            await upgrade.replace(after)
        counts = await upgrade.until_all_ended(within_s=(30 + number) * slack())
        assert counts == {Phase.COMPLETED: number}
        assert await upgrade.wrong_effects() == []
        runners = {row.status.runner for row in (await list_rows(upgrade.client)).values()}
        assert {str(name).rpartition("/")[2] for name in runners} == {"1.0.0", "2.0.0"}


@pytest.mark.slow
async def test_code_that_does_not_fit_is_seen_within_seconds_and_each_way_out_works(tmp_path: Path) -> None:
    """Only a run that needs its workflow before it ends meets the code; one that is performed as it starts does not.

    So all slots are taken, and runs that have begun under the code before wait to claim under the other one.
    """
    async with drill(tmp_path / "home", seed=7, claims_apart=True) as upgrade:
        after = copy_package(tmp_path / "after", "2.0.0", Change.UNFIT)
        await upgrade.accept(RUNNERS * SLOTS, FILLING)
        await upgrade.until_all_perform(RUNNERS * SLOTS)
        await upgrade.accept(20)
        await upgrade.until_claims_wait()
        await upgrade.replace_at_once(after)

        async def unfit() -> Mapping[str, StuckBody]:
            found = (await upgrade.client.list_executions(Query(is_stuck=True), limit=1000)).items
            stuck = {item.metadata.id: item.stuck for item in found if item.stuck}
            return {name: one for name, one in stuck.items() if one.kind == StuckClass.CANNOT_REPLAY}

        shown = await eventually(unfit, within_s=SHOWN_MAX_S * slack(), what="cannot-replay")
        name, one = next(iter(shown.items()))
        assert "its code does not fit the run" in one.cause
        assert "/2.0.0): [TMPRL1100] Nondeterminism error" in one.cause
        assert any('"workflow_task_failed"' in runner.log.read_text() for runner in upgrade.runners)

        async def is_told() -> "subprocess.CompletedProcess[str] | None":
            told = upgrade.cli("doctor", "--only", "STG408")
            return told if told.returncode == 1 else None

        ill = await eventually(is_told, within_s=SHOWN_MAX_S * slack(), what="doctor says so")
        assert "cannot-replay: the workflow task fails again and again" in ill.stdout

        out = upgrade.cli(*one.hint.partition(" starts it over")[0].split()[1:], "--yes")
        assert out.returncode == 0, out.stdout + out.stderr
        done = await _ended(upgrade, name)
        assert (done.status.phase, done.status.epoch) == (Phase.COMPLETED, 2)

        [other, *_] = [id_ for id_ in await eventually(unfit, within_s=SHOWN_MAX_S) if id_ != name]
        assert upgrade.cli("executions", "cancel", other).returncode == 0
        assert (await _ended(upgrade, other)).status.phase is Phase.CANCELLED

        rest = upgrade.cli("executions", "reconcile", "--include-in-progress", "--yes")
        assert rest.returncode == 0, rest.stdout + rest.stderr
        counts = await upgrade.until_all_ended(within_s=90 * slack())
        assert counts == {Phase.COMPLETED: 29, Phase.CANCELLED: 1}
        assert await upgrade.wrong_effects() == []
        assert upgrade.cli("doctor", "--only", "STG408").returncode == 0


async def _ended(upgrade: Drill, name: str) -> ExecutionResource:
    async def ended() -> ExecutionResource | None:
        row = await upgrade.client.execution(name)
        return row if row.status.phase.is_terminal else None

    return await eventually(ended, within_s=60 * slack(), what=f"the end of {name}")
