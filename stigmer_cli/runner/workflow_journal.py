"""The journal of an execution as the interpreter of workflows sees it: each task with an effect is a step of it.

The error of a task is recorded with all its fields, so that a replay catches what the first attempt caught.
"""

import json
from collections.abc import Awaitable, Callable, Sequence

from stigmer_cli.api.steps import StepDraftBody
from stigmer_cli.domain.step import CUT_OFF, Effect, StepKind
from stigmer_cli.json_text import dump_json
from stigmer_cli.runner.journal import Journal, StepCall, StepFailed
from stigmer_cli.secret_values import SecretValues
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import NothingYet, TaskStep, Waits


class _NotRecorded(Exception):
    """Nothing is recorded, and nothing was performed."""


class AttemptState:
    """Whether the attempt ends. Steps that are cut off before are cut off by the workflow itself."""

    def __init__(self) -> None:
        self.is_ending = False

    def note_end(self) -> None:
        """The attempt ends: what is cut off from now on, another one goes on with."""
        self.is_ending = True

    def describe_cut_off(self) -> StepFailed | None:
        """What is recorded of a step that is cut off now; None for nothing, since another attempt goes on with it."""
        if self.is_ending:
            return None
        return _make_cut_off()


class WorkflowJournal:
    """Performs the steps of tasks. Raises what the execution's journal raises: StepParked, Superseded."""

    def __init__(
        self, journal: Journal, state: AttemptState | None = None, secrets: SecretValues | None = None
    ) -> None:
        """`secrets` are those of the workflow, which are no part of what its steps were given."""
        self._journal = journal
        self._state = state or AttemptState()
        self._secrets = secrets

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        """The step's recorded result, or what `effect` returns, once that is recorded. Raises WorkflowError."""

        async def attempt() -> Json:
            try:
                return await effect()
            except WorkflowError as error:
                raise StepFailed(describe_error(error), details=dict(error.fields)) from error

        try:
            return await self._journal.perform(self._call_of(step), attempt)
        except StepFailed as failed:
            if isinstance(failed.details, dict):
                raise WorkflowError(failed.details) from failed
            raise make_error(ErrorType.RUNTIME, failed.message) from failed
        except (NothingYet, Waits):  # the attempt goes on, or who waits decides whether that ends it
            raise
        except Exception:  # what ends the attempt: other branches are cut off by it, not by the workflow
            self._state.note_end()
            raise

    async def find(self, key: str) -> Json:
        """The recorded result of a step without effect and without input; None if there is none."""
        if await self._journal.is_recorded(key):
            return await self._journal.find(key)

        async def refuse() -> Json:
            raise _NotRecorded

        try:
            return await self._journal.perform(
                self._call_of(TaskStep(key=key, name=key.rpartition("/")[2], effect=Effect.NONE, input=None)), refuse
            )
        except _NotRecorded:
            return None
        except Exception:
            self._state.note_end()
            raise

    async def cut_off(self, keys: Sequence[str]) -> None:
        """Have steps fail that an earlier attempt began at or below `keys`: the workflow never comes to them again."""
        try:
            await self._journal.cut_off(keys, _make_cut_off())
        except Exception:
            self._state.note_end()
            raise

    async def is_recorded(self, key: str) -> bool:
        """Whether the step with this key was recorded before this attempt."""
        return await self._journal.is_recorded(key)

    def draft_timer(self, key: str, name: str) -> StepDraftBody:
        """A step that the server ends when a wait is over."""
        return self._journal.draft(self._call_of(TaskStep(key=key, name=name, effect=Effect.NONE, input=None)))

    def _call_of(self, step: TaskStep) -> StepCall:
        given = step.input
        if self._secrets is not None:  # a secret that is changed in the middle of an execution changes no step
            given = json.loads(self._secrets.redact_json(dump_json(given)))
        return StepCall(key=step.key, kind=StepKind.TASK, name=step.name, effect=step.effect, input=given)


def _make_cut_off() -> StepFailed:
    error = make_error(ErrorType.RUNTIME, CUT_OFF)
    return StepFailed(describe_error(error), details=dict(error.fields))


def describe_error(error: WorkflowError) -> str:
    """The error as a sentence, without the place where it was raised."""
    fields = error.fields
    title = fields.get("title") or fields.get("type")
    detail = fields.get("detail")
    return f"{title} ({fields.get('status')}){f': {detail}' if detail else ''}"
