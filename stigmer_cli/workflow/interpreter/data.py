"""The tasks that only compute: do, set, switch, for, raise."""

from collections.abc import Mapping, Sequence
from typing import cast

from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.flow import END
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.sequence import run_list
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.task import list_tasks


async def perform_do(run: Run, visit: Visit) -> Flow:
    """Its tasks, one after another."""
    tasks = list_tasks(visit.task.data["do"], (*visit.task.path, "do"))
    return await run_list(run, tasks, f"{visit.key}/do", visit.input, visit.scope)


async def perform_set(run: Run, visit: Visit) -> Flow:
    """What it sets is its output."""
    return Flow(output=await run.fill(visit.task.body, visit.input, visit.scope))


async def perform_switch(run: Run, visit: Visit) -> Flow:
    """Goes where the first case says that holds, else where the default says, else on."""
    default = ""
    for item in cast("Sequence[Mapping[str, Mapping[str, str]]]", visit.task.body):
        for case in item.values():
            if "when" not in case:
                default = case["then"]
            elif await run.is_true(case["when"], visit.input, visit.scope):
                return Flow(output=visit.input, directive=case["then"])
    return Flow(output=visit.input, directive=default)


async def perform_for(run: Run, visit: Visit) -> Flow:
    """Its tasks for each item: the output of one iteration is the input of the next one."""
    task, scope = visit.task, visit.scope
    loop = cast("Mapping[str, Json]", task.data["for"])
    each, at = str(loop.get("each", "item")), str(loop.get("at", "index"))
    items = await run.transform(loop["in"], visit.input, scope)
    if items is None:
        items = []
    if not isinstance(items, list):
        raise make_error(ErrorType.EXPRESSION, f"for.in is no list: {loop['in']}")
    tasks = list_tasks(task.data["do"], (*task.path, "do"))
    output = visit.input
    for number, item in enumerate(items):
        bound = scope.bind(**{each: item, at: number})
        condition = task.data.get("while")
        if condition is not None and not await run.is_true(cast("str", condition), output, bound):
            break
        flow = await run_list(run, tasks, f"{visit.key}/for/{number}/do", output, bound)
        output = flow.output
        if flow.directive == END:
            return flow
    return Flow(output=output)


async def perform_raise(run: Run, visit: Visit) -> Flow:
    """Raises its error, with the expressions in it evaluated."""
    wanted = cast("Mapping[str, Json]", visit.task.body)["error"]
    defined = run.use.get("errors", {}).get(wanted) if isinstance(wanted, str) else wanted
    raise WorkflowError(cast("Mapping[str, Json]", await run.fill(defined, visit.input, visit.scope)))
