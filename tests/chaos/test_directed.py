"""Faults whose moment a chaos run meets only by chance, each injected on purpose into real parts; slow."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.api.reconcile import ReconcileRequest, ReconcileSummary
from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, ServerBusy, ServerUnavailable
from tests.chaos import ledger
from tests.chaos.faults.server import run_reconcile
from tests.chaos.faults.temporal import delete_history
from tests.chaos.harness import NAMESPACE, Harness, RecordingRunnerProcess, running_harness
from tests.chaos.invariants import is_paused
from tests.chaos.proxy import Proxy, Toxics
from tests.chaos.workload import AGENTS, GREETER, POISONOUS, SLOW
from tests.support import postgres
from tests.support.machine_load import slack
from tests.support.polling import eventually
from tests.support.running_server import make_agent, served
from tests.support.temporal_server import DevServer

MANUAL = {"STIGMER_RECONCILE": "manual"}
GRACE_S = 5.0
LEASE_S = 30.0
ORPHANS = 15

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def request(client: Client, key: str, agent: str = GREETER, message: str = "hello") -> str:
    request = ExecutionRequest(agent=agent, message=message)
    while True:
        try:
            return (await client.create_execution(request, idempotency_key=key, require_temporal=False)).metadata.id
        except ServerBusy as busy:
            await asyncio.sleep(busy.retry_after_s)


async def all_submitted(client: Client, count: int) -> None:
    async def are() -> bool:
        found = (await client.list_executions(Query(), limit=count)).items
        return len(found) == count and all(one.status.dispatch.run_id for one in found)

    await eventually(are, within_s=20, what=f"{count} submitted")


async def all_completed(client: Client, names: Sequence[str], *, within_s: float) -> None:
    async def are() -> bool:
        found = {one.metadata.id: one for one in (await client.list_executions(Query(), limit=1000)).items}
        return all(found[name].status.phase is Phase.COMPLETED for name in names)

    await eventually(are, within_s=within_s, what="all completed")


async def in_phase(client: Client, name: str, phase: Phase, *, within_s: float) -> ExecutionResource:
    async def is_in() -> ExecutionResource | None:
        row = await client.execution(name)
        return row if row.status.phase is phase else None

    found = await eventually(is_in, within_s=within_s, what=f"{name} {phase}")
    assert found is not None
    return found


def performances(folder: Path) -> Counter[str]:
    return Counter({name: len(lines) for name, lines in ledger.read(folder / "ledger.jsonl").items()})


async def _is_performed(folder: Path, name: str) -> bool:
    return name in performances(folder)


async def make_orphans(harness: Harness) -> tuple[list[str], list[str]]:
    """Twice `ORPHANS` executions that no run has claimed; Temporal has forgotten the first half of them."""
    names = [await request(harness.client, f"k{number}") for number in range(2 * ORPHANS)]
    await all_submitted(harness.client, len(names))
    for name in names[:ORPHANS]:
        await delete_history(harness, name)
    await asyncio.sleep(GRACE_S + 0.5)  # younger drift is ignored
    return names[:ORPHANS], names


async def test_what_retention_removed_is_asked_by_id_and_judged_by_its_phase(tmp_path: Path) -> None:  # T10
    async with running_harness(tmp_path, 1, runners=1, settings=MANUAL) as harness:
        done = await request(harness.client, "done")
        await in_phase(harness.client, done, Phase.COMPLETED, within_s=15)
        begun = await request(harness.client, "begun", SLOW, "word " * 100)
        await eventually(lambda: _is_performed(tmp_path, begun), within_s=10, what="begun")
        harness.runners[0].kill()
        fresh = await request(harness.client, "fresh")
        for name in (done, begun, fresh):
            await delete_history(harness, name)
        await asyncio.sleep(GRACE_S + 0.5)
        told = await run_reconcile(harness)
        assert told is not None
        assert (told.examined, told.resubmitted, told.attention, told.failed) == (2, 2, 0, 0)
        resumed = await harness.client.execution(begun)
        assert (resumed.status.epoch, resumed.status.attention) == (2, None)
        harness.runners[0].start()
        for name in (begun, fresh):
            await in_phase(harness.client, name, Phase.COMPLETED, within_s=40)
        assert performances(tmp_path) == {done: 1, begun: 2, fresh: 1}


async def test_eight_reconciles_at_once_resubmit_each_orphan_once(tmp_path: Path) -> None:  # S9
    async with running_harness(tmp_path, 2, runners=0, settings=MANUAL) as harness:
        orphans, names = await make_orphans(harness)

        async def one() -> ReconcileSummary | None:
            try:
                request = ReconcileRequest(asked_by="test")
                told = [item async for item in harness.client.reconcile(request)]
            except Conflict:
                return None
            assert isinstance(told[-1], ReconcileSummary)
            return told[-1]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(8)]
        told = [task.result() for task in tasks]
        assert sum(one.resubmitted for one in told if one is not None) == ORPHANS
        again = await one()
        assert again is not None
        assert (again.examined, again.resubmitted) == (len(names), 0)
        for name in orphans:
            types = [event.type for event in await harness.client.events(name)]
            assert types.count(EventType.ORPHANED) == 1
        await _performed_once(harness, names)


async def _performed_once(harness: Harness, names: Sequence[str]) -> None:
    runner = RecordingRunnerProcess(harness.folder, harness.proxy.address, harness.server.url, 0)
    runner.start()
    try:
        await all_completed(harness.client, names, within_s=30)
    finally:
        runner.kill()
    assert performances(harness.folder) == dict.fromkeys(names, 1)


async def test_a_reconcile_that_is_killed_is_completed_by_the_next(tmp_path: Path) -> None:  # S10
    async with running_harness(tmp_path, 3, runners=0, settings=MANUAL) as harness:
        _, names = await make_orphans(harness)
        for pause_s in (0.0, 0.005, 0.02, 0.05):
            try:
                async with asyncio.timeout(pause_s):
                    await run_reconcile(harness)
            except TimeoutError:
                continue
        killed = asyncio.get_running_loop().call_later(0.01, harness.server.kill)
        with suppress(ServerUnavailable, Conflict):
            [item async for item in harness.client.reconcile(ReconcileRequest(asked_by="test"))]
        killed.cancel()
        harness.server.kill()
        await harness.server.start()

        async def completes() -> bool:
            told = await run_reconcile(harness)
            return told is not None and told.examined == len(names) and told.failed == 0

        await eventually(completes, within_s=LEASE_S + 15, what="a whole reconcile")
        await _performed_once(harness, names)


async def test_a_runner_that_never_polls_is_found_within_fifteen_seconds(tmp_path: Path) -> None:  # R5
    async with running_harness(tmp_path, 4, runners=1) as harness:
        harness.runners[0].kill()
        before = len(await asyncio.to_thread(harness.runners[0].log.read_text))
        name = await request(harness.client, "waits")
        harness.runners[0].start(is_parked=True)
        log = harness.runners[0].log

        async def has_begun() -> bool:
            return "worker_wanted" in (await asyncio.to_thread(log.read_text))[before:]

        await eventually(has_begun, within_s=20, what="its first worker")
        await in_phase(harness.client, name, Phase.COMPLETED, within_s=15)
        assert performances(tmp_path) == {name: 1}


async def _cause_of_pause(client: Client, name: str) -> str | None:
    """Wait until it is paused."""

    async def cause() -> str | None:
        row = await client.execution(name)
        return row.status.waiting.cause if row.status.waiting is not None and is_paused(row) else None

    return await eventually(cause, within_s=60 * slack(), what="a pause")


async def test_poison_is_paused_with_a_reason(tmp_path: Path) -> None:  # R4
    async with running_harness(tmp_path, 5, runners=2) as harness:
        poison = await request(harness.client, "poison", POISONOUS)
        assert (
            await _cause_of_pause(harness.client, poison)
            == "its runner died, or stopped responding, each time it was performed; see `stigmer logs runner`"
        )
        assert performances(tmp_path)[poison] == 5
        after = await request(harness.client, "after")
        await in_phase(harness.client, after, Phase.COMPLETED, within_s=20)


async def test_poison_does_not_fail_the_executions_beside_it(tmp_path: Path) -> None:  # R4
    async with running_harness(tmp_path, 7, runners=2) as harness:
        names = [await request(harness.client, f"other{number}", SLOW) for number in range(4)]
        poison = await request(harness.client, "poison", POISONOUS)
        names += [await request(harness.client, f"late{number}", SLOW) for number in range(4)]
        await _cause_of_pause(harness.client, poison)
        await all_completed(harness.client, names, within_s=30)


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        yield url


async def test_the_late_starts_of_a_frozen_server_are_absorbed(tmp_path: Path, database: str) -> None:  # S6
    settings = {"STIGMER_DATABASE_URL": database, "STIGMER_TEMPORAL_NAMESPACE": NAMESPACE}
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    with DevServer(tmp_path, namespace=NAMESPACE) as temporal:
        temporal.start()
        async with (
            Proxy(temporal.port, random.Random(6)) as proxy,
            served(homes[0], proxy.address, settings) as sleeper,
            served(homes[1], temporal.address, settings) as other,
            other.client() as client,
            sleeper.client() as first,
        ):
            for name, model in AGENTS.items():
                await make_agent(client, name, model=model)
            runner = RecordingRunnerProcess(tmp_path, temporal.address, other.url, 0)
            runner.start()
            try:
                proxy.toxics = Toxics(is_silent_up=True)  # what it starts from now on is under way, and does not arrive
                names = [await request(first, f"k{number}") for number in range(8)]
                assert sleeper.process is not None
                sleeper.process.send_signal(signal.SIGSTOP)
                await all_completed(client, names, within_s=30)
                proxy.toxics = Toxics()
                sleeper.process.send_signal(signal.SIGCONT)
                late = await request(first, "late")
                await all_completed(client, [late], within_s=30)
            finally:
                runner.kill()
            assert performances(tmp_path) == dict.fromkeys([*names, late], 1)
            for name in names:
                types = [event.type for event in await client.events(name)]
                assert types.count(EventType.CLAIMED) == types.count(EventType.COMPLETED) == 1
