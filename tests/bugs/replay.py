"""Seeded bugs of what looks after runs that stand still: the judgement, the forced end, the workflow itself."""

from tests.bugs.bug import Bug

JUDGEMENT = "tests/unit/executions/test_stuck.py"
CANCELLER = "tests/integration/executions/test_canceller.py"
UNFIT = "tests/integration/executions/test_unfit.py"
HISTORIES = "tests/replay/test_histories.py"

BUGS: tuple[Bug, ...] = (
    Bug(
        name="a workflow task that fails is not looked at",
        file="executions/stuck.py",
        old="    return _task(seen, observation.task_failure) or _activities(seen) or _untaken(seen, context)\n",
        new="    return _activities(seen) or _untaken(seen, context)\n",
        caught_by=(JUDGEMENT,),
    ),
    Bug(
        name="in progress without a runner gets on",
        file="executions/stuck.py",
        old="    if not context.is_polled:\n        return StuckClass.WAITING_FOR_RUNNER, f",
        new="    if context.waits_for:\n        return StuckClass.WAITING_FOR_RUNNER, f",
        caught_by=(JUDGEMENT,),
    ),
    Bug(
        name="each reconnect begins the patience of a cancel again",
        file="executions/canceller.py",
        old="            deadline = self._deadlines.setdefault(key,"
        " self._clock.monotonic() + self._patience_s(execution))\n",
        new="            deadline = self._clock.monotonic() + self._patience_s(execution)\n",
        caught_by=(CANCELLER,),
    ),
    Bug(
        name="a cancel trusts the wall clock",
        file="executions/canceller.py",
        old="        return min(max(PATIENCE_S - waited_s, PATIENCE_MIN_S), PATIENCE_S)\n",
        new="        return PATIENCE_S - waited_s\n",
        caught_by=(CANCELLER,),
    ),
    Bug(
        name="what is started over leaves its old workflow behind",
        file="executions/reconcile/request.py",
        old="                self._withdraw_left(applied)\n",
        new="",
        caught_by=(UNFIT,),
    ),
    Bug(
        name="one more await before the claim",
        file="runner/workflow.py",
        old="        if not await self._claimed(workflow_input):\n",
        new="        await workflow.sleep(0.05)\n        if not await self._claimed(workflow_input):\n",
        caught_by=(HISTORIES,),
    ),
)
