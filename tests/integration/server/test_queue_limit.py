"""Somebody limits the task queue in Temporal: whoever looks is told that, and the printed command removes the limit."""

import asyncio
import shlex
import sys
from pathlib import Path

import pytest

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.identity import store_in, task_queue_of
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from tests.chaos.harness import NAMESPACE, RecordingRunnerProcess
from tests.support.machine_load import slack
from tests.support.polling import eventually
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import DevServer

TOLD_MAX_S = 20.0
ENDS_MAX_S = 30.0
ONCE_IN_AN_HOUR = "0.00028"
SLOW = " ".join(["word"] * 25)
"""Five seconds of `echo:slow`."""


async def _type(command: str) -> None:
    """As in a shell where the `temporal` that is installed with Stigmer is on the PATH."""
    program, *arguments = shlex.split(command)
    assert program == "temporal"
    binary = Path(sys.executable).with_name(program)
    process = await asyncio.create_subprocess_exec(binary, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, output


async def _ended(client: Client, name: str) -> ExecutionResource:
    async def look() -> ExecutionResource | None:
        row = await client.execution(name)
        return row if row.status.phase.is_terminal else None

    return await eventually(look, within_s=ENDS_MAX_S * slack(), what=f"the end of {name}")


async def _in_progress(client: Client, name: str) -> ExecutionResource:
    async def look() -> ExecutionResource | None:
        row = await client.execution(name)
        return row if row.status.attempt > 0 else None

    return await eventually(look, within_s=ENDS_MAX_S * slack(), what="an attempt")


async def _limited(client: Client, names: list[str]) -> ExecutionResource:
    async def look() -> ExecutionResource | None:
        rows = [await client.execution(name) for name in names]
        return next((row for row in rows if row.stuck and row.stuck.kind == StuckClass.RATE_LIMITED), None)

    return await eventually(look, within_s=TOLD_MAX_S * slack(), what="that the queue is limited")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "passes", "then"),
    [
        ("0", False, "none starts until that limit is removed"),
        (ONCE_IN_AN_HOUR, True, "they start at that rate, one after another"),
    ],
)
async def test_a_task_queue_that_somebody_limited_is_told_and_what_is_printed_ends_that(
    tmp_path: Path, limit: str, *, passes: bool, then: str
) -> None:
    with DevServer(tmp_path, file=tmp_path / "temporal.db", namespace=NAMESPACE) as temporal:
        temporal.start()
        settings = {"STIGMER_TEMPORAL_NAMESPACE": NAMESPACE}
        async with served(tmp_path, temporal.address, settings) as server, server.client() as client:
            await make_agent(client, model="echo:slow")
            runners = [RecordingRunnerProcess(tmp_path, temporal.address, server.url, number) for number in range(2)]
            runners[0].start()
            try:
                names = [(await accept(client, f"{number}", message=SLOW)).metadata.id for number in range(3)]
                begun = [await _in_progress(client, name) for name in names]
                queue = task_queue_of(store_in(begun[0].status.dispatch.workflow_id))
                runners[0].kill()  # a first attempt need not go through the queue, a second one does
                await _type(
                    f"temporal --identity me@here task-queue config set --address {temporal.address}"
                    f" --namespace {NAMESPACE} --task-queue {queue} --task-queue-type activity"
                    f" --queue-rps-limit {limit} --queue-rps-limit-reason 'a look'"
                )
                runners[1].start()
                row = await _limited(client, names)
                assert row.stuck is not None
                what = f"me@here limited the task queue {queue} in Temporal to {limit} activities a second at "
                assert row.stuck.cause.startswith(what)
                assert row.stuck.cause.endswith(f": a look; {then}")
                groups = [one for one in (await client.stuck_report()).groups if one.kind == StuckClass.RATE_LIMITED]
                assert [(one.passes, one.commands) for one in groups] == [(passes, [row.stuck.hint])]
                await _type(row.stuck.hint)
                assert {(await _ended(client, name)).status.phase for name in names} == {Phase.COMPLETED}
            finally:
                for runner in runners:
                    runner.kill()
