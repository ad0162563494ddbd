"""The task try: catches errors, tries again as a policy says, and goes another way."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.workflow.duration import MS_MAX
from stigmer_cli.workflow.error import WorkflowError, fits_filter
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.interpreter.sequence import run_list
from stigmer_cli.workflow.interpreter.timeouts import run_within
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.task import list_tasks

EXPONENT_MAX = 40
"""2 to the power of more would be longer than any delay."""


async def perform_try(run: Run, visit: Visit) -> Flow:
    """Its tasks; where they raise an error that is caught, once more as often as the policy allows, then the catch."""
    catch = cast("Mapping[str, Json]", visit.task.data["catch"])
    retry = catch.get("retry")
    policy = run.use.get("retries", {}).get(retry) if isinstance(retry, str) else retry
    retries = _Retries(run, visit, cast("Mapping[str, Json] | None", policy))
    await retries.begin()
    await run.recall_missing(visit.key)
    number = 0
    while True:
        try:
            return await _run_attempt(run, visit, number, policy=retries.policy)
        except WorkflowError as error:
            scope = visit.scope.bind(**{str(catch.get("as", "error")): error.fields})
            if not await _is_caught(run, visit, catch, error, scope):
                raise
            number += 1
            if await retries.wait_for(number, scope):
                continue
            if retries.policy is not None and not {"do", "then"} & set(catch):
                raise  # nothing but trying again was asked for, and that is used up
            await run.note_missing(visit.key, error)
            return await _handle(run, visit, catch, scope)


async def _run_attempt(run: Run, visit: Visit, number: int, *, policy: Json) -> Flow:
    tasks = list_tasks(visit.task.data["try"], (*visit.task.path, "try"))
    key = f"{visit.key}/retry/{number}/try" if number else f"{visit.key}/try"
    limit = _read(policy, "limit", "attempt", "duration")
    if limit is None:
        return await run_list(run, tasks, key, visit.input, visit.scope)
    limit_ms = await run.read_duration(limit, visit.input, visit.scope)
    try:
        return await run_within(
            run, limit_ms, key, visit.scope, lambda: run_list(run, tasks, key, visit.input, visit.scope)
        )
    except WorkflowError as error:
        raise error.at(visit.task.pointer) from error


async def _is_caught(run: Run, visit: Visit, catch: Mapping[str, Json], error: WorkflowError, scope: Scope) -> bool:
    wanted = cast("Mapping[str, Json]", _read(catch, "errors", "with") or {})
    return fits_filter(error.fields, wanted) and await _holds(run, visit, catch, scope)


async def _holds(run: Run, visit: Visit, holder: Mapping[str, Json], scope: Scope) -> bool:
    """Whether `when` holds, and `exceptWhen` does not."""
    when, unless = holder.get("when"), holder.get("exceptWhen")
    if when is not None and not await run.is_true(cast("str", when), visit.input, scope):
        return False
    return unless is None or not await run.is_true(cast("str", unless), visit.input, scope)


async def _handle(run: Run, visit: Visit, catch: Mapping[str, Json], scope: Scope) -> Flow:
    """The tasks of the catch; without any, the output is the task's input."""
    directive = cast("str", catch.get("then", ""))
    if "do" not in catch:
        return Flow(output=visit.input, directive=directive)
    tasks = list_tasks(catch["do"], (*visit.task.path, "catch", "do"))
    flow = await run_list(run, tasks, f"{visit.key}/catch/do", visit.input, scope)
    return Flow(output=flow.output, directive=flow.directive or directive)


class _Retries:
    """How often and when a policy has the tasks tried again. What it decides is recorded."""

    def __init__(self, run: Run, visit: Visit, policy: Mapping[str, Json] | None) -> None:
        self._run, self._visit = run, visit
        self.policy = policy
        self._ends_ms: int | None = None

    async def begin(self) -> None:
        """Set the time after which nothing is tried again, if the policy has one."""
        limit = _read(self.policy, "limit", "duration")
        if limit is None:
            return
        length_ms = await self._run.read_duration(limit, self._visit.input, self._visit.scope)
        self._ends_ms = await self._run.set_time(f"{self._visit.key}/end", "end of retries", length_ms)

    async def wait_for(self, number: int, scope: Scope) -> bool:
        """Return True when it is time for the retry `number`, counted from 1; False if there is none."""
        count = _read(self.policy, "limit", "attempt", "count")
        if self.policy is None or (isinstance(count, int) and number > count):
            return False
        if not await _holds(self._run, self._visit, self.policy, scope):
            return False
        key = f"{self._visit.key}/retry/{number}"
        delay_ms = await self._compute_delay_ms(number, scope)
        least_ms, most_ms = await self._read_jitter_ms(scope)

        async def decide() -> Json:
            jitter_ms = round(least_ms + (most_ms - least_ms) * self._run.world.draw())
            due_ms = self._run.world.now_ms() + min(delay_ms + jitter_ms, MS_MAX)
            return None if self._ends_ms is not None and due_ms > self._ends_ms else due_ms

        due_ms = await self._run.perform(key, f"retry {number}", None, decide)
        if due_ms is None:
            return False
        self._run.world.note_time(cast("int", due_ms) - min(delay_ms + round(most_ms), MS_MAX))
        await self._run.wait_until(key, cast("int", due_ms))
        return True

    async def _compute_delay_ms(self, number: int, scope: Scope) -> int:
        delay = _read(self.policy, "delay")
        base_ms = await self._run.read_duration(delay, self._visit.input, scope) if delay is not None else 0
        backoff = cast("Mapping[str, Json]", _read(self.policy, "backoff") or {})
        factor = 1
        if "linear" in backoff:
            factor = number
        elif "exponential" in backoff:
            factor = 2 ** min(number - 1, EXPONENT_MAX)
        return base_ms * factor

    async def _read_jitter_ms(self, scope: Scope) -> tuple[int, int]:
        jitter = cast("Mapping[str, Json] | None", _read(self.policy, "jitter"))
        if jitter is None:
            return 0, 0
        least, most = [await self._run.read_duration(jitter[word], self._visit.input, scope) for word in ("from", "to")]
        return least, most


def _read(value: Json, *path: str) -> Json:
    """What is at `path` of `value`; None where there is nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
