"""The tasks `call: agent` and `run: workflow`: another execution, whose end is waited for unless `await` is false."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_text import dump_json
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.run import LOOK_EVERY_MS, Flow, Run, Visit, shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Child, ChildRequest, Functions, TaskStep, Waits
from stigmer_cli.workflow.task import Task, TaskKind

AGENT = "agent"
WORKFLOW = "workflow"
ARGUMENTS = frozenset({"agent", "message", "session"})
NEEDED = ("agent", "message")


def is_agent_call(run: Run, name: str) -> bool:
    """Whether `call: NAME` is an agent; a function of that name comes before it."""
    return name == AGENT and name not in run.use.get("functions", {}) and name not in run.functions


async def perform_agent(run: Run, visit: Visit) -> Flow:
    """Its output is what the agent said, or its structured output."""
    given = await run.fill(visit.task.data.get("with") or {}, visit.input, visit.scope)
    if why := explain_agent(given):
        raise make_error(ErrorType.CONFIGURATION, why)
    arguments = cast("Mapping[str, Json]", given)
    message, session = arguments["message"], arguments.get("session")
    request = ChildRequest(
        key=shorten_key(visit.key),
        agent=str(arguments["agent"]),
        message=message if isinstance(message, str) else dump_json(message),
        session=None if session is None else str(session),
    )
    return Flow(output=await _wait_for(run, visit, AGENT, arguments, request))


async def perform_workflow(run: Run, visit: Visit, *, is_awaited: bool) -> Flow:
    """Its output is that of the other workflow; where that is not awaited, its own input."""
    body = cast("Mapping[str, Json]", visit.task.body)
    settings = cast("Mapping[str, Json]", await run.fill(body[WORKFLOW], visit.input, visit.scope))
    request = ChildRequest(
        key=shorten_key(visit.key),
        workflow=f"{settings['namespace']}/{settings['name']}",
        version=str(settings["version"]),
        input=settings.get("input", {}),
        is_awaited=is_awaited,
    )
    if not is_awaited:
        await _start(run, visit, settings, request)
        return Flow(output=visit.input)
    return Flow(output=await _wait_for(run, visit, WORKFLOW, settings, request))


async def _wait_for(run: Run, visit: Visit, what: str, given: Mapping[str, Json], request: ChildRequest) -> Json:
    """The output of the execution. To ask for it again does nothing: the server knows it by its key."""
    if not run.functions.has_children:
        raise make_error(ErrorType.CONFIGURATION, _explain_alone(what))

    async def look() -> Json:
        child = await run.world.start_child(request)
        if not child.has_ended:
            raise Waits(key=request.key, children=[child.id])
        return _read(child)

    step = TaskStep(
        key=visit.key, name=f"{visit.task.name}: {what}", effect=Effect.NONE, input={"run": what, "with": given}
    )
    while True:
        try:
            return await run.perform_step(step, look)
        except Waits:
            if not await run.activity.pause(LOOK_EVERY_MS):
                raise


async def _start(run: Run, visit: Visit, given: Mapping[str, Json], request: ChildRequest) -> None:
    """Have the execution accepted, which goes on by itself; its id is recorded."""
    if not run.functions.has_children:
        raise make_error(ErrorType.CONFIGURATION, _explain_alone(WORKFLOW))

    async def start() -> Json:
        return (await run.world.start_child(request)).id

    step = TaskStep(
        key=visit.key, name=f"{visit.task.name}: start of {WORKFLOW}", effect=Effect.NONE, input={"start": given}
    )
    await run.perform_step(step, start)


def _read(child: Child) -> Json:
    if child.error is not None:
        raise make_error(ErrorType.RUNTIME, f"execution {child.id} did not complete: {child.error}")
    return child.output


def explain_agent(given: Json) -> str:
    """Why an agent cannot be called with these arguments, as a sentence; empty if it can."""
    if not isinstance(given, Mapping):
        return "call: agent needs a mapping `with`"
    missing = [name for name in NEEDED if given.get(name) in (None, "")]
    unknown = sorted(set(given) - ARGUMENTS)
    if missing:
        return f"call: agent needs {' and '.join(f'`with.{name}`' for name in missing)}"
    return f"call: agent takes no `with.{unknown[0]}`: it takes agent, message and session" if unknown else ""


def explain_child(task: Task, functions: Functions) -> str:
    """Why the other execution of `task` cannot be started, as a sentence; empty if it can, or there is none."""
    what = AGENT if task.kind is TaskKind.CALL else WORKFLOW
    if not functions.has_children:
        return _explain_alone(what)
    return explain_agent(task.data.get("with")) if what == AGENT else ""


def _explain_alone(what: str) -> str:
    word = "call: agent" if what == AGENT else "run: workflow"
    return f"{word} needs a stack, on which the other execution runs: stigmer run workflow/NAME"
