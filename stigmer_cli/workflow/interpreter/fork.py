"""The task fork: branches at the same time, all of them, or until the first has completed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from stigmer_cli.workflow.error import LimitReached, WorkflowError
from stigmer_cli.workflow.flow import END
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.scope import Context, merge_contexts
from stigmer_cli.workflow.interpreter.sequence import run_task
from stigmer_cli.workflow.json_value import Json, write_pointer
from stigmer_cli.workflow.runtime import Waits
from stigmer_cli.workflow.task import Task, list_tasks


@dataclass(kw_only=True)
class _Branch:
    """A branch: how it ended, if it has. `waits` where it has nothing to do until a time."""

    number: int
    task: Task
    key: str
    context: Context
    flow: Flow | None = None
    error: WorkflowError | None = None
    waits: Waits | None = None
    failure: Exception | None = None


async def perform_fork(run: Run, visit: Visit) -> Flow:
    """The outputs of all branches in the order of the document; with `compete` that of the first to complete."""
    fork = cast("Mapping[str, Json]", visit.task.body)
    before = visit.scope.context.value
    tasks = list_tasks(fork["branches"], (*visit.task.path, "fork", "branches"))
    branches = [
        _Branch(
            number=number,
            task=task,
            key=f"{visit.key}/fork/branches{write_pointer((str(number), task.name))}",
            context=visit.scope.context.branch(),
        )
        for number, task in enumerate(tasks)
    ]
    if not branches:
        return Flow(output=[])
    flow = await (_compete(run, visit, branches) if fork.get("compete") else _run_all(run, visit, branches))
    ended = [branch.context for branch in branches if branch.flow]
    visit.scope.context.value = merge_contexts(before, [context.value for context in ended])
    visit.scope.context.taken.update(*(context.taken for context in ended))
    return flow


async def _run_all(run: Run, visit: Visit, branches: Sequence[_Branch]) -> Flow:
    """Raises the first error, as the branches are ordered, of those that there are by then.

    Which branch failed the fork is recorded: a replay runs no other, so that what was cut off in them stays so.
    """
    failed, begun = await _find_decision(run, visit, "failed")
    running = await _leave_out(run, branches, failed)
    branch = await _run_until(run, visit, running, word="failed", is_enough=lambda branch: branch.error is not None)
    run.count_tasks(begun)
    if branch is not None and branch.error is not None:
        raise branch.error
    _wait_for(running)
    flows = [branch.flow for branch in running if branch.flow is not None]
    is_end = any(flow.directive == END for flow in flows)
    return Flow(output=[flow.output for flow in flows], directive=END if is_end else "")


async def _compete(run: Run, visit: Visit, branches: Sequence[_Branch]) -> Flow:
    """Which branch won is recorded: a replay runs no other."""
    winner, begun = await _find_decision(run, visit, "winner")
    running = await _leave_out(run, branches, winner)
    branch = await _run_until(run, visit, running, word="winner", is_enough=lambda branch: branch.flow is not None)
    run.count_tasks(begun)
    if branch is not None and branch.flow is not None:
        for other in running:
            other.flow = other.flow if other is branch else None
        return branch.flow
    _wait_for(running)
    raise next(branch.error for branch in running if branch.error is not None)


async def _find_decision(run: Run, visit: Visit, word: str) -> tuple[int | None, int]:
    """The number of the branch that an earlier attempt recorded as `winner` or `failed`, and its count of tasks."""
    recorded = cast("Mapping[str, int] | None", await run.find(f"{visit.key}/fork/{word}"))
    if recorded is None:
        return None, 0
    return recorded["branch"], recorded["tasks"]


async def _leave_out(run: Run, branches: Sequence[_Branch], decided: int | None) -> Sequence[_Branch]:
    """The branches that are to be run: with a decision only one, and what the others began is over."""
    if decided is None:
        return branches
    await run.cut_off([branch.key for branch in branches if branch.number != decided])
    return [branches[decided]]


async def _decide(run: Run, visit: Visit, word: str, number: int) -> None:
    async def tell() -> Json:
        return {"branch": number, "tasks": run.tasks_begun}

    await run.perform(f"{visit.key}/fork/{word}", f"{word} branch", None, tell)


def _wait_for(branches: Sequence[_Branch]) -> None:
    """Raises Waits, for what the branches wait for, if one waits."""
    waiting = [branch.waits for branch in branches if branch.waits is not None]
    if waiting:
        raise Waits.merge(waiting)


async def _run_until(
    run: Run, visit: Visit, branches: Sequence[_Branch], *, word: str, is_enough: Callable[[_Branch], bool]
) -> _Branch | None:
    """Run `branches` until each has ended or waits, or one of them is enough; cancels the rest.

    The branch that is enough is returned. It is recorded as `word` before the rest is cancelled, which may take long.
    """
    decided: _Branch | None = None
    places = asyncio.Semaphore(run.facts.branches_max)

    async def run_branch(branch: _Branch) -> bool:
        async with places:
            with run.activity.work():
                await _run_branch(run, visit, branch)
        return branch.failure is not None or is_enough(branch)

    async with asyncio.TaskGroup() as group:
        waiting = {group.create_task(run_branch(branch), name=branch.key) for branch in branches}
        await asyncio.sleep(0)  # until they have begun: before that nobody would be at work
        with run.activity.rest():
            is_decided = False
            while waiting and not is_decided:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                is_decided = any(task.result() for task in done)
            if not any(branch.failure for branch in branches):
                decided = next(filter(is_enough, branches), None)
            if decided is not None:
                with run.activity.work():
                    await _decide(run, visit, word, decided.number)
            for task in waiting:
                task.cancel()
    if (failure := next((branch.failure for branch in branches if branch.failure), None)) is not None:
        raise failure
    if decided is not None:
        await run.cut_off([branch.key for branch in branches if branch is not decided])
    return decided


async def _run_branch(run: Run, visit: Visit, branch: _Branch) -> None:
    scope = replace(visit.scope, context=branch.context)
    try:
        branch.flow = await run_task(run, branch.task, branch.key, visit.input, scope)
    except WorkflowError as error:
        branch.error = error
    except Waits as waits:
        branch.waits = waits
    except LimitReached as error:  # it ends the execution as well
        branch.failure = error
    except Exception as error:  # noqa: BLE001 - what ends the attempt is raised as it is, not in a group
        run.note_end()
        branch.failure = error
