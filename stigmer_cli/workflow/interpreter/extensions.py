"""Extensions: tasks that run before and after the tasks that they extend."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from stigmer_cli.workflow.flow import END
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.json_value import Json, write_pointer
from stigmer_cli.workflow.task import EXTENDED_KINDS, Task, list_tasks


class RunList(Protocol):
    """Runs a list of tasks; see `sequence.run_list`."""

    async def __call__(self, run: Run, tasks: Sequence[Task], key: str, given: Json, scope: Scope) -> Flow:
        """The flow behind the list."""
        ...


async def run_extended(run: Run, visit: Visit, run_list: RunList) -> Flow:
    """Perform the task of `visit`, between the tasks of each extension that applies to it.

    Tasks before and after see the task's input and its output, and `$task` is the task that they extend; what they
    leave themselves is not used. But where the tasks before end with `exit`, the task is not performed, and what they
    left is its output. With `end` the workflow ends.
    """
    perform = run.find_performer(visit.task.kind)
    extensions = [(number, name, data) async for number, name, data in _list_applying(run, visit)]
    if not extensions:
        return await perform(run, visit)
    for number, name, extension in extensions:
        flow = await _run_part(run, visit, run_list, (number, name, "before"), extension, visit.input)
        if flow.has_exited or flow.directive == END:
            return Flow(output=flow.output, directive=flow.directive)
    flow = await perform(run, visit)
    described = cast("Mapping[str, Json]", visit.scope.variables["task"])
    after = replace(visit, scope=visit.scope.bind(task={**described, "output": flow.output}))
    for number, name, extension in extensions:
        left = await _run_part(run, after, run_list, (number, name, "after"), extension, flow.output)
        if left.directive == END:
            return replace(flow, directive=END)
    return flow


async def _list_applying(run: Run, visit: Visit) -> AsyncIterator[tuple[str, str, Mapping[str, Json]]]:
    kind = visit.task.kind
    if visit.scope.is_extension:  # the tasks of an extension are not extended themselves
        return
    for number, name, extension in _list_all(run):
        extended = extension["extend"]
        if extended not in {"all", EXTENDED_KINDS.get(kind, str(kind))}:
            continue
        condition = extension.get("when")
        if condition is not None and not await run.is_true(
            cast("str", condition), visit.input, visit.scope.bind(task=_describe(visit))
        ):
            continue
        yield str(number), name, extension


def _list_all(run: Run) -> Iterator[tuple[int, str, Mapping[str, Json]]]:
    listed = cast("Sequence[Mapping[str, Mapping[str, Json]]]", run.use.get("extensions") or ())
    for number, item in enumerate(listed):
        for name, extension in item.items():
            yield number, name, extension


def _describe(visit: Visit) -> Json:
    """`$task` in the condition of an extension: its definition's own keys can be read, too."""
    return {**visit.task.data, **cast("Mapping[str, Json]", visit.scope.variables["task"])}


async def _run_part(
    run: Run, visit: Visit, run_list: RunList, place: tuple[str, str, str], extension: Mapping[str, Json], given: Json
) -> Flow:
    listed = extension.get(place[2])
    if listed is None:
        return Flow(output=given)
    path = ("use", "extensions", *place)
    key = f"{visit.key}/extensions{write_pointer(place)}"
    return await run_list(run, list_tasks(listed, path), key, given, replace(visit.scope, is_extension=True))
