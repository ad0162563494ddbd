"""The task run: a command of the shell, or a script, as a process."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.child import WORKFLOW, perform_workflow
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, read_effect
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import StepPlace, TaskStep
from stigmer_cli.workflow.task import Task

EXCERPT_MAX = 500
LEFT = frozenset({"code", "stdout", "stderr"})
"""What a process leaves."""

TOLERANT = frozenset({"code", "all"})
"""Forms of output that hold the exit code: any code is a result there, and only 0 elsewhere."""


def name_process(task: Task) -> str:
    """What a task `run` runs: `shell`, `script`, `container` or `workflow`."""
    return next(
        word for word in ("shell", "script", "container", "workflow") if word in cast("dict[str, Json]", task.body)
    )


async def perform_run(run: Run, visit: Visit) -> Flow:
    """Its output is what the process left, as `return` says.

    Raises WorkflowError where the process ended with another code than 0, unless the output holds the code.
    """
    body = cast("Mapping[str, Json]", visit.task.body)
    kind = name_process(visit.task)
    if kind == WORKFLOW and body.get("await") is not False:
        return await perform_workflow(run, visit)
    if kind not in run.functions.processes or body.get("await") is False:
        raise make_error(ErrorType.CONFIGURATION, f"run: {kind} is not supported by this version in this way")
    settings = cast("Mapping[str, Json]", await run.fill(body[kind], visit.input, visit.scope))
    process = run.functions.processes[kind]
    place = StepPlace(execution=run.facts.id, key=visit.key)

    async def perform() -> Json:
        return await process.perform(settings, place)

    step = TaskStep(
        key=visit.key,
        name=f"{visit.task.name}: {kind}",
        effect=read_effect(visit.task) or Effect.ONCE,
        input={"run": kind, "with": settings},
    )
    left = await run.perform_step(step, perform)
    form = cast("str", body.get("return", "stdout"))
    if not isinstance(left, Mapping) or not LEFT.issubset(left):  # a person had it skipped, and gave its output
        return Flow(output=None if form == "none" else left)
    if left["code"] != 0 and form not in TOLERANT:
        said = " ".join(str(left["stderr"]).split())[-EXCERPT_MAX:]
        raise make_error(ErrorType.RUNTIME, f"the {kind} ended with code {left['code']}{': ' if said else ''}{said}")
    return Flow(output={"all": left, "none": None}[form] if form in {"all", "none"} else left[form])
