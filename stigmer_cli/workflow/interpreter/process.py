"""The task run: a command of the shell, a script or a container, as a process."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.call_arguments import take_endpoint
from stigmer_cli.workflow.interpreter.child import WORKFLOW, perform_workflow
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, read_effect
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions, StepPlace, TaskStep
from stigmer_cli.workflow.task import Task

EXCERPT_MAX = 500
LEFT = frozenset({"code", "stdout", "stderr"})
"""What a process leaves."""

TOLERANT = frozenset({"code", "all"})
"""Forms of output that hold the exit code: any code is a result there, and only 0 elsewhere."""

STARTED = "started"
"""The form of output of what is not awaited: the input."""

NOT_DETACHED = (
    "run: {kind} with await: false would end with its runner, and nobody would know; put the task into a workflow of "
    "its own, and start that with run: workflow and await: false"
)


def name_process(task: Task) -> str:
    """What a task `run` runs: `shell`, `script`, `container` or `workflow`."""
    return next(
        word for word in ("shell", "script", "container", "workflow") if word in cast("dict[str, Json]", task.body)
    )


async def perform_run(run: Run, visit: Visit) -> Flow:
    """Its output is what the process left, as `return` says.

    Where it is not awaited, its output is its input. Raises WorkflowError where the process ended with another code
    than 0, unless the output holds the code.
    """
    body = cast("Mapping[str, Json]", visit.task.body)
    kind = name_process(visit.task)
    if kind == WORKFLOW:
        return await perform_workflow(run, visit, is_awaited=is_awaited(visit.task))
    if why := explain_process(visit.task, run.functions):
        raise make_error(ErrorType.CONFIGURATION, why)
    left = await _run_process(run, visit, kind)
    form = cast("str", body.get("return", "stdout")) if is_awaited(visit.task) else STARTED
    without_it: Mapping[str, Json] = {"none": None, STARTED: visit.input}
    if not isinstance(left, Mapping) or not LEFT.issubset(left):  # a person had it skipped, and gave its output
        return Flow(output=without_it.get(form, left))
    if left["code"] != 0 and form not in TOLERANT:
        said = " ".join(str(left["stderr"]).split())[-EXCERPT_MAX:]
        raise make_error(ErrorType.RUNTIME, f"the {kind} ended with code {left['code']}{': ' if said else ''}{said}")
    return Flow(output={**left, "all": left, **without_it}[form])


def is_awaited(task: Task) -> bool:
    """Whether a task `run` waits for the end of what it runs."""
    return cast("Mapping[str, Json]", task.body).get("await") is not False


def explain_process(task: Task, functions: Functions) -> str:
    """Why the process of `task` cannot be run, as a sentence; empty if it can."""
    kind = name_process(task)
    if is_awaited(task):
        return "" if kind in functions.processes else f"run: {kind} is not supported by this version"
    if kind not in functions.detached:
        return NOT_DETACHED.format(kind=kind)
    settings = cast("Mapping[str, Json]", task.body)[kind]
    if isinstance(settings, Mapping) and "stdin" in settings:
        return f"run: {kind} with await: false has no stdin: nobody is there to write it; use arguments or environment"
    return ""


async def _run_process(run: Run, visit: Visit, kind: str) -> Json:
    """What the process left, as it is recorded."""
    body = cast("Mapping[str, Mapping[str, Json]]", visit.task.body)
    written = {name: value for name, value in body[kind].items() if name != "source"}
    settings = cast("Mapping[str, Json]", await run.fill(written, visit.input, visit.scope))
    if "source" in body[kind]:
        settings = {**settings, "code": await _fetch_code(run, visit, body[kind]["source"])}
    process = (run.functions.processes if is_awaited(visit.task) else run.functions.detached)[kind]
    place = StepPlace(execution=run.facts.id, key=visit.key)

    async def perform() -> Json:
        return await process.perform(settings, place)

    step = TaskStep(
        key=visit.key,
        name=f"{visit.task.name}: {kind}",
        effect=read_effect(visit.task) or Effect.ONCE,
        input={"run": kind, "with": settings},
    )
    return await run.perform_step(step, perform)


async def _fetch_code(run: Run, visit: Visit, source: Json) -> Json:
    """The script, as it was when the task was first performed. Raises WorkflowError."""
    resources = run.functions.resources
    if resources is None:
        raise make_error(ErrorType.CONFIGURATION, "the source of a script cannot be fetched here")
    endpoint = cast("Mapping[str, Json]", source)["endpoint"]
    address, policy = await take_endpoint(run, endpoint, visit.input, visit.scope)

    async def fetch() -> Json:
        return await resources.fetch_text(address, policy, "script")

    step = TaskStep(
        key=f"{visit.key}/source",
        name=f"source of {visit.task.name}",
        effect=Effect.REPEATABLE,
        input={"source": address},
    )
    return await run.perform_step(step, fetch)
