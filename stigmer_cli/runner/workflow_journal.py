"""The journal of an execution as the interpreter of workflows sees it: each task with an effect is a step of it.

The error of a task is recorded with all its fields, so that a replay catches what the first attempt caught.
"""

from collections.abc import Awaitable, Callable

from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.runner.journal import Journal, StepCall, StepFailed
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import TaskStep


class _NotRecorded(Exception):
    """Nothing is recorded, and nothing was performed."""


class WorkflowJournal:
    """Performs the steps of tasks. Raises what the execution's journal raises: StepParked, Superseded."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        """The step's recorded result, or what `effect` returns, once that is recorded. Raises WorkflowError."""

        async def attempt() -> Json:
            try:
                return await effect()
            except WorkflowError as error:
                raise StepFailed(_describe(error), details=dict(error.fields)) from error

        try:
            return await self._journal.perform(_call_of(step), attempt)
        except StepFailed as failed:
            if isinstance(failed.details, dict):
                raise WorkflowError(failed.details) from failed
            raise make_error(ErrorType.RUNTIME, failed.message) from failed

    async def find(self, key: str) -> Json:
        """The recorded result of a step without effect and without input; None if there is none."""

        async def refuse() -> Json:
            raise _NotRecorded

        try:
            return await self._journal.perform(
                _call_of(TaskStep(key=key, name=key.rpartition("/")[2], effect=Effect.NONE, input=None)), refuse
            )
        except _NotRecorded:
            return None


def _call_of(step: TaskStep) -> StepCall:
    return StepCall(key=step.key, kind=StepKind.TASK, name=step.name, effect=step.effect, input=step.input)


def _describe(error: WorkflowError) -> str:
    fields = error.fields
    title = fields.get("title") or fields.get("type")
    detail = fields.get("detail")
    return f"{title} ({fields.get('status')}){f': {detail}' if detail else ''}"
