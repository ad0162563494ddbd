"""Records the histories of the workflow in all its shapes, on a real Temporal, for `test_histories.py` to replay.

    python tests/replay/record.py

writes a folder for the version of the workflow that stands in the code now, unless there is one. That is to be done
with every change of `runner/workflow.py` that is more than words. For a version of long ago:

    git worktree add ../old COMMIT
    PYTHONPATH=../old python tests/replay/record.py

Only ids and kinds of failure are in a history; what names this machine (paths in stack traces) is taken out.
"""

import asyncio
import json
import os
import sys
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker, WorkerDeploymentConfig

import stigmer_cli.runner.workflow as recorded
from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind
from stigmer_cli.temporal.dev_server import find_binary
from stigmer_cli.temporal.workflow_input import EPOCH, EXECUTION_ID, RUN_GRACE_S

sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, which says whose workflow is recorded
from tests.replay.digest import digest_of
from tests.replay.shapes import SHAPES, Does, Shape

FOLDER = Path(__file__).parent / "histories"
QUEUE = "recorder"
SHAPE_MAX_S = 15.0
BEAT_S = 0.3
RETRIES = 2
TASK_MAX = timedelta(seconds=3)
CLAIMS = "claims"
"""Written out: a version of long ago has no such name to import."""

SECRET_OF_THE_MACHINE = "stackTrace"


class Performers:
    """The activities, each of which does what the shape of its run says."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.under_way: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)

    @activity.defn(name="claim")
    async def claim(self, workflow_input: dict[str, Any]) -> bool:
        """Whether the run holds the epoch."""
        does = self.shapes[workflow_input[EXECUTION_ID]].claim
        await self._do(workflow_input, "claim", does)
        return does is not Does.LOSE

    @activity.defn(name="perform")
    async def perform(self, workflow_input: dict[str, Any]) -> bool:
        """What has effects, after the claim where the workflow has no activity for that; whether the run held it."""
        shape = self.shapes[workflow_input[EXECUTION_ID]]
        if CLAIMS in workflow_input:
            await self._do(workflow_input, "claim", shape.claim)
            if shape.claim is Does.LOSE:
                return False
        await self._do(workflow_input, "perform", shape.perform)
        return True

    @activity.defn(name="conclude")
    async def conclude(self, workflow_input: dict[str, Any]) -> None:
        """The last word."""
        await self._do(workflow_input, "conclude", self.shapes[workflow_input[EXECUTION_ID]].conclude)

    async def _do(self, workflow_input: dict[str, Any], name: str, does: Does) -> None:
        self.under_way[workflow_input[EXECUTION_ID], name].set()
        if does is Does.FAIL:
            raise ApplicationError("failed", type="report-refused", non_retryable=True)
        if does is Does.FAIL_TWICE and activity.info().attempt <= RETRIES:
            raise ApplicationError("failed", type="unexpected")
        while does is Does.WAIT:
            activity.heartbeat()
            await asyncio.sleep(BEAT_S)


async def main() -> None:
    """Record what is not recorded yet."""
    source = Path(recorded.__file__)
    digest = digest_of(source)
    if any(digest in folder.name for folder in FOLDER.iterdir()):
        print(f"{source} is recorded already, as {digest}")
        return
    folder = FOLDER / f"{len(list(FOLDER.iterdir())) + 1}-{digest}"
    folder.mkdir()
    performers = Performers()
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_binary(None)), identity="recorder"
    ) as environment:
        worker = Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=[recorded.AgentRun],
            activities=[performers.claim, performers.perform, performers.conclude],
            deployment_config=WorkerDeploymentConfig(
                version=WorkerDeploymentVersion(deployment_name="stigmer", build_id="recorder"),
                use_worker_versioning=False,
            ),
            max_heartbeat_throttle_interval=timedelta(seconds=BEAT_S),
        )
        async with worker:
            for number, shape in enumerate(SHAPES, start=1):
                text = await _recorded(environment.client, performers, number, shape)
                (folder / f"{shape.name}.json").write_text(text + "\n")
                print(f"{folder.name}/{shape.name}: {len(text)} characters")


async def _recorded(client: Client, performers: Performers, number: int, shape: Shape) -> str:
    """The history of one run of this shape, ended or under way."""
    execution = f"aex-{number:026d}"
    performers.shapes[execution] = shape
    handle: WorkflowHandle[Any, Any] = await client.start_workflow(
        WORKFLOW_TYPES[Kind.AGENT],
        {EXECUTION_ID: execution, EPOCH: 1},
        id=f"stigmer/agent-execution/invoke/{execution}",
        task_queue=QUEUE,
        task_timeout=TASK_MAX,
        run_timeout=timedelta(seconds=shape.timeout_s + RUN_GRACE_S) if shape.timeout_s else None,
    )
    try:
        async with asyncio.timeout(SHAPE_MAX_S):
            if shape.cancel_at:
                await _until(performers, execution, shape.cancel_at)
                await handle.cancel()
            if shape.is_open:
                waits = next(name for name in ("claim", "perform", "conclude") if _is_last(shape, name))
                await _until(performers, execution, waits)
            else:
                await handle.result()
    except WorkflowFailureError:
        pass  # that is what some are to end with
    except TimeoutError:
        print(f"{shape.name}: this version does not get any further")
    history = json.loads((await handle.fetch_history()).to_json())
    if shape.is_open:
        await handle.terminate()
    return json.dumps(_without_the_machine(history), separators=(",", ":"), sort_keys=True)


def _is_last(shape: Shape, name: str) -> bool:
    return getattr(shape, name) is Does.WAIT and name != shape.cancel_at


async def _until(performers: Performers, execution: str, name: str) -> None:
    async with asyncio.timeout(SHAPE_MAX_S):
        await performers.under_way[execution, name].wait()
    await asyncio.sleep(BEAT_S)  # what Temporal writes down of a start comes a moment after it


def _without_the_machine(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _without_the_machine(value) for name, value in found.items() if name != SECRET_OF_THE_MACHINE}
    return [_without_the_machine(value) for value in found] if isinstance(found, list) else found


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # the SDK's native threads abort the interpreter's own shutdown, after everything has been written
