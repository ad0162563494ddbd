"""Lists of tasks, and what is common to all tasks.

raw input ─▶ if ─▶ input.schema ─▶ input.from ─▶ the task ─▶ output.as ─▶ output.schema ─▶ export ─▶ then
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.error import (
    UNEXPECTED,
    ErrorType,
    LimitReached,
    WorkflowError,
    describe_unexpected,
    make_error,
)
from stigmer_cli.workflow.flow import CONTINUE, END, EXIT
from stigmer_cli.workflow.interpreter.extensions import run_extended
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.schema import Checked, check_schema
from stigmer_cli.workflow.interpreter.scope import Scope, describe_moment
from stigmer_cli.workflow.interpreter.timeouts import run_in_time
from stigmer_cli.workflow.json_value import Json, write_pointer
from stigmer_cli.workflow.runtime import TaskEvent
from stigmer_cli.workflow.task import Task

STARTED_AT = "startedAt"


async def run_list(run: Run, tasks: Sequence[Task], key: str, given: Json, scope: Scope) -> Flow:
    """Run `tasks` from the first one on, as each one's directive says; `key` is the place of the list.

    The flow that is returned goes on behind the list, or to the end of the workflow. A task that is visited again has a
    key of its own.
    """
    visits: Counter[int] = Counter()
    names = [task.name for task in tasks]
    output = given
    number = 0
    while number < len(tasks):
        task = tasks[number]
        again = f"/visits/{visits[number]}" if visits[number] else ""
        visits[number] += 1
        flow = await run_task(run, task, f"{key}{write_pointer((str(number), task.name))}{again}", output, scope)
        output = flow.output
        match flow.directive:
            case directive if directive == CONTINUE:
                number += 1
            case directive if directive == EXIT:
                return Flow(output=output, has_exited=True)
            case directive if directive == END:
                return Flow(output=output, directive=END)
            case name:
                number = _find_task(names, name)
        await asyncio.sleep(0)  # a loop of tasks that wait for nothing must not keep the event loop for itself
    return Flow(output=output)


def _find_task(names: Sequence[str], name: str) -> int:
    try:
        return names.index(name)
    except ValueError as error:  # a document that was checked has none
        raise make_error(ErrorType.CONFIGURATION, f"there is no task {name} in the same list") from error


async def run_task(run: Run, task: Task, key: str, raw_input: Json, scope: Scope) -> Flow:
    """Run one task; the flow's output is transformed. Raises WorkflowError, which says where it comes from."""
    observe = _Observed(run, task, key)
    try:
        return await _run_observed(run, Visit(task=task, key=key, input=raw_input, scope=scope), observe)
    except (WorkflowError, *UNEXPECTED) as error:
        known = error if isinstance(error, WorkflowError) else describe_unexpected(error)
        located = known.at(task.pointer)
        observe.tell(TaskPhase.FAULTED, located)
        raise located from error
    except LimitReached as reached:
        located = reached.error.at(task.pointer)
        observe.tell(TaskPhase.FAULTED, located)
        raise LimitReached(located) from reached
    except asyncio.CancelledError:
        observe.tell(TaskPhase.CANCELLED)
        raise


async def _run_observed(run: Run, raw: Visit, observe: "_Observed") -> Flow:
    """`raw`: the visit before the input is transformed."""
    task = raw.task
    run.begin_task()
    scope = raw.scope.enter(await _describe_task(run, raw))
    condition = task.data.get("if")
    if condition is not None and not await run.is_true(cast("str", condition), raw.input, scope):
        observe.tell(TaskPhase.SKIPPED)
        return Flow(output=raw.input, directive=CONTINUE)
    observe.tell(TaskPhase.RUNNING)
    visit = replace(raw, scope=scope)
    flow = await run_in_time(run, task.data, raw.key, raw.input, scope, lambda: _run_body(run, visit))
    observe.tell(TaskPhase.COMPLETED)
    return flow


class _Observed:
    """Tells the world what one task does."""

    def __init__(self, run: Run, task: Task, key: str) -> None:
        self._run, self._task, self._key = run, task, key

    def tell(self, phase: TaskPhase, error: WorkflowError | None = None) -> None:
        fields = error.fields if error else None
        self._run.world.observe(TaskEvent(task=self._task, key=self._key, phase=phase, error=fields))


async def _describe_task(run: Run, raw: Visit) -> dict[str, Json]:
    """`$task`. The time at which it started is looked at, and recorded, only where the document asks for it."""
    described: dict[str, Json] = {
        "name": raw.task.name,
        "reference": raw.task.pointer,
        "definition": raw.task.data,
        "input": raw.input,
    }
    if run.asks_for_start_of_tasks:
        began_ms = await run.set_time(f"{raw.key}/{STARTED_AT}", f"start of {raw.task.name}", 0)
        described[STARTED_AT] = describe_moment(began_ms)
    return described


async def _run_body(run: Run, visit: Visit) -> Flow:
    task, scope = visit.task, visit.scope
    checked = Checked(value=visit.input, what="input", key=f"{visit.key}/input", scope=scope)
    await check_schema(run, task.data.get("input"), checked)
    given = visit.input
    if (template := _read(task, "input", "from")) is not None:
        given = await run.transform(template, visit.input, scope)
    scope = scope.bind(input=given)
    flow = await run_extended(run, replace(visit, input=given, scope=scope), run_list)
    scope = scope.bind(authorization=flow.authorization)
    if not scope.is_extension:
        scope = scope.bind(task={**cast("dict[str, Json]", scope.variables["task"]), "output": flow.output})
    output = flow.output
    if (template := _read(task, "output", "as")) is not None:
        output = await run.transform(template, output, scope.bind(output=output))
    checked = Checked(value=output, what="output", key=f"{visit.key}/output", scope=scope)
    await check_schema(run, task.data.get("output"), checked)
    if (export := task.data.get("export")) is not None:
        await _export(run, export, replace(checked, key=f"{visit.key}/export", scope=scope.bind(output=output)))
    return Flow(output=output, directive=flow.directive or cast("str", task.data.get("then", CONTINUE)))


async def _export(run: Run, export: Json, output: Checked) -> None:
    """Replace the context; without `as` it stays, and has to fit the schema all the same."""
    scope = output.scope
    template = cast("Mapping[str, Json]", export).get("as")
    context = scope.context.value if template is None else await run.transform(template, output.value, scope)
    await check_schema(run, export, replace(output, value=context, what="context"))
    scope.context.value = context


def _read(task: Task, word: str, key: str) -> Json:
    part = task.data.get(word)
    return part.get(key) if isinstance(part, dict) else None
