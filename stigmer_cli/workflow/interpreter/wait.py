"""The task wait: nothing, for a while."""

from typing import cast

from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.json_value import Json


async def perform_wait(run: Run, visit: Visit) -> Flow:
    """Its output is its input. When it ends is recorded before it begins, so that a crash makes it no longer."""
    length_ms = await run.read_duration(visit.task.body, visit.input, visit.scope)

    async def set_end() -> Json:
        return run.world.now_ms() + length_ms

    until_ms = await run.perform(visit.key, visit.task.name, length_ms, set_end)
    await run.wait_until(visit.key, cast("int", until_ms))
    return Flow(output=visit.input)
