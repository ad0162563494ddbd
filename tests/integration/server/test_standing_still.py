"""In progress without anybody who works on it: shown as what is pending is, and ended by a cancel that nobody hears."""

import time
from pathlib import Path

import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions.canceller import FORCED, PATIENCE_S
from tests.chaos.harness import NAMESPACE, RecordingRunnerProcess
from tests.support.machine_load import slack
from tests.support.polling import eventually
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import DevServer

SHOWN_MAX_S = 15.0
STARTED_MAX_S = 60.0
SLOW = " ".join(["word"] * 600)
"""Two minutes of `echo:slow`."""


async def _in_progress(client: Client, name: str) -> ExecutionResource:
    async def performed() -> ExecutionResource | None:
        row = await client.execution(name)
        return row if row.status.attempt > 0 else None

    return await eventually(performed, within_s=STARTED_MAX_S, what="an attempt")


@pytest.mark.slow
async def test_a_dead_runner_is_seen_and_a_cancel_that_nobody_hears_ends_by_force(tmp_path: Path) -> None:
    with DevServer(tmp_path, file=tmp_path / "temporal.db", namespace=NAMESPACE) as temporal:
        temporal.start()
        settings = {"STIGMER_TEMPORAL_NAMESPACE": NAMESPACE}
        async with served(tmp_path, temporal.address, settings) as server, server.client() as client:
            await make_agent(client, model="echo:slow")
            runner = RecordingRunnerProcess(tmp_path, temporal.address, server.url, 0)
            runner.start()
            try:
                name = (await accept(client, "one", message=SLOW)).metadata.id
                await _in_progress(client, name)
            finally:
                runner.kill()

            async def shown() -> ExecutionResource | None:
                row = await client.execution(name)
                return row if row.stuck else None

            row = await eventually(shown, within_s=SHOWN_MAX_S * slack(), what="that nobody works on it")
            assert row.stuck is not None
            assert row.status.phase is Phase.IN_PROGRESS
            assert row.stuck.kind in {StuckClass.STARTING_LATE, StuckClass.WAITING_FOR_RUNNER}
            [listed] = (await client.list_executions(Query(is_stuck=True), limit=10)).items
            assert (listed.metadata.id, listed.stuck and listed.stuck.kind) == (name, row.stuck.kind)
            groups = (await client.stuck_report()).groups
            assert [(group.phase, group.ids) for group in groups] == [(Phase.IN_PROGRESS, [name])]

            asked = time.monotonic()
            await client.cancel_execution(name)

            async def ended() -> ExecutionResource | None:
                row = await client.execution(name)
                return row if row.status.phase.is_terminal else None

            row = await eventually(ended, within_s=(PATIENCE_S + 10) * slack(), what="the end")
            assert (row.status.phase, time.monotonic() - asked >= PATIENCE_S - 1) == (Phase.CANCELLED, True)
            assert row.status.error == (
                f"{FORCED}; effects may have happened, and what its run still reports is refused"
            )
