"""Runs a workflow from its input to its output; the table of what each kind of task does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.error import UNEXPECTED, LimitReached, WorkflowError, describe_unexpected
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.call import perform_call
from stigmer_cli.workflow.interpreter.catalog import is_fetched
from stigmer_cli.workflow.interpreter.child import AGENT, WORKFLOW, explain_child
from stigmer_cli.workflow.interpreter.data import perform_do, perform_for, perform_raise, perform_set, perform_switch
from stigmer_cli.workflow.interpreter.emit import perform_emit
from stigmer_cli.workflow.interpreter.fork import perform_fork
from stigmer_cli.workflow.interpreter.listen import perform_listen
from stigmer_cli.workflow.interpreter.process import explain_process, name_process, perform_run
from stigmer_cli.workflow.interpreter.run import Flow, Performer, Run
from stigmer_cli.workflow.interpreter.schema import Checked, check_schema
from stigmer_cli.workflow.interpreter.scope import Context, Scope
from stigmer_cli.workflow.interpreter.sequence import run_list
from stigmer_cli.workflow.interpreter.timeouts import run_in_time
from stigmer_cli.workflow.interpreter.try_task import perform_try
from stigmer_cli.workflow.interpreter.wait import perform_wait
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts, Functions, World
from stigmer_cli.workflow.schema_check import Problem
from stigmer_cli.workflow.task import Task, TaskKind, list_tasks, walk_tasks

PERFORMERS: Mapping[TaskKind, Performer] = {
    TaskKind.CALL: perform_call,
    TaskKind.DO: perform_do,
    TaskKind.EMIT: perform_emit,
    TaskKind.FOR: perform_for,
    TaskKind.FORK: perform_fork,
    TaskKind.LISTEN: perform_listen,
    TaskKind.RAISE: perform_raise,
    TaskKind.RUN: perform_run,
    TaskKind.SET: perform_set,
    TaskKind.SWITCH: perform_switch,
    TaskKind.TRY: perform_try,
    TaskKind.WAIT: perform_wait,
}
"""What is missing here cannot be run yet; `find_unsupported` names it."""


async def interpret(  # noqa: PLR0913 - one parameter a seam
    workflow: Workflow,
    given: Json,
    *,
    facts: ExecutionFacts,
    world: World,
    functions: Functions,
    evaluator: Evaluator,
    note_end: Callable[[], None] = lambda: None,
) -> Json:
    """The output of the workflow for the input `given`. `note_end`: see `Run`.

    Raises WorkflowError, the error that no `try` caught; Waits, where it has nothing to do until a time; and what the
    journal of `world` raises. Called again with the same journal, it takes what is recorded, and performs the rest.
    """
    run = Run(
        workflow=workflow,
        facts=facts,
        world=world,
        evaluator=evaluator,
        functions=functions,
        raw_input=given,
        performers=PERFORMERS,
        note_end=note_end,
    )
    scope = Scope(context=Context())
    try:
        # What a task raises says where it comes from. So this is the workflow's own timeout, or its end at a limit.
        with _located("/timeout"):
            return (await run_in_time(run, workflow.data, "", given, scope, lambda: _run_workflow(run, given))).output
    except LimitReached as reached:
        raise reached.error from reached


@contextmanager
def _located(pointer: str) -> Iterator[None]:
    """Errors of the workflow itself have the instance `pointer`."""
    try:
        yield
    except (WorkflowError, *UNEXPECTED) as error:
        known = error if isinstance(error, WorkflowError) else describe_unexpected(error)
        raise known.at(pointer) from error
    except LimitReached as reached:
        raise LimitReached(reached.error.at(pointer)) from reached


async def _run_workflow(run: Run, given: Json) -> Flow:
    data = run.workflow.data
    about_input = cast("Mapping[str, Json]", data.get("input") or {})
    about_output = cast("Mapping[str, Json]", data.get("output") or {})
    scope = Scope(context=Context())
    with _located("/input"):
        checked = Checked(value=given, what="input of the workflow", key="/input", scope=scope)
        await check_schema(run, about_input, checked)
        if (template := about_input.get("from")) is not None:
            given = await run.transform(template, given, scope)
    # The input of the workflow is the input of its first task, the first context, and `$input` as long as no task has
    # one of its own.
    scope.context.value = given
    flow = await run_list(run, list_tasks(data["do"], ("do",)), "/do", given, scope.bind(input=given))
    output = flow.output
    with _located("/output"):
        if (template := about_output.get("as")) is not None:
            output = await run.transform(template, output, scope)
        checked = Checked(value=output, what="output of the workflow", key="/output", scope=scope)
        await check_schema(run, about_output, checked)
    return Flow(output=output)


def find_unsupported(workflow: Workflow, functions: Functions) -> Sequence[Problem]:
    """The tasks that this version cannot run: whoever accepts a document to run it refuses these."""
    found = [(task.path, _explain_unsupported(task, workflow, functions)) for task in walk_tasks(_list_all(workflow))]
    return [Problem(path=path, text=why) for path, why in found if why]


def _explain_unsupported(task: Task, workflow: Workflow, functions: Functions) -> str:
    """Why `task` cannot be run, as a sentence; empty if it can."""
    if _is_child(task, workflow, functions):
        return explain_child(task, functions)
    if task.kind is TaskKind.RUN:
        return explain_process(task, functions)
    if what := _name_unsupported(task, workflow, functions):
        return f"{what} is not supported by this version"
    refuse = functions.refusals.get(str(task.body)) if task.kind is TaskKind.CALL else None
    given = task.data.get("with")
    return refuse(given) if refuse is not None and isinstance(given, Mapping) else ""


def _is_child(task: Task, workflow: Workflow, functions: Functions) -> bool:
    """Whether it starts another execution."""
    if task.kind is TaskKind.RUN:
        return name_process(task) == WORKFLOW
    own = cast("Mapping[str, Mapping[str, Json]]", workflow.data.get("use") or {}).get("functions") or {}
    return task.kind is TaskKind.CALL and task.body == AGENT and AGENT not in own and AGENT not in functions


def _list_all(workflow: Workflow) -> Sequence[Task]:
    use = cast("Mapping[str, Json]", workflow.data.get("use") or {})
    functions = cast("Mapping[str, Mapping[str, Json]]", use.get("functions") or {})
    extensions = cast("Sequence[Mapping[str, Mapping[str, Json]]]", use.get("extensions") or ())
    return [
        *list_tasks(workflow.data["do"], ("do",)),
        *(Task(name=name, data=data, path=("use", "functions", name)) for name, data in functions.items()),
        *(
            task
            for number, item in enumerate(extensions)
            for name, extension in item.items()
            for word in ("before", "after")
            for task in list_tasks(extension.get(word, ()), ("use", "extensions", str(number), name, word))
        ),
    ]


def _name_unsupported(task: Task, workflow: Workflow, functions: Functions) -> str:
    """What of `task` cannot be run, in words; empty if all can."""
    if task.kind not in PERFORMERS:
        return f"the task {task.kind}"
    own = cast("Mapping[str, Mapping[str, Json]]", workflow.data.get("use") or {}).get("functions") or {}
    if task.kind is TaskKind.CALL and task.body not in functions and task.body not in own:
        is_found = functions.resources is not None and is_fetched(str(task.body))
        return "" if is_found else f"call: {task.body}"
    return ""
