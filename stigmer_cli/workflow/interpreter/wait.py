"""The task wait: nothing, for a while."""

from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit


async def perform_wait(run: Run, visit: Visit) -> Flow:
    """Its output is its input. When it ends is recorded before it begins, so that a crash makes it no longer."""
    length_ms = await run.read_duration(visit.task.body, visit.input, visit.scope)
    until_ms = await run.set_time(visit.key, visit.task.name, length_ms)
    await run.wait_until(visit.key, until_ms)
    return Flow(output=visit.input)
