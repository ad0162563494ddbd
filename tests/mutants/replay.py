"""Mutants of what ends stuck runs: the judgement, the forced end, the workflow itself."""

from tests.mutants.mutant import Mutant

OPEN_WORK = "tests/unit/doctor/facts/test_open_work.py"
JUDGEMENT = "tests/unit/judgement/test_stuck.py"
CANCELLER = "tests/integration/executions/test_canceller.py"
UNFIT = "tests/integration/executions/test_unfit.py"
HISTORIES = "tests/replay/test_histories.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a workflow task that fails is not looked at",
        file="judgement/stuck.py",
        old="    return _judge_task(seen, observation.task_failure) or ",
        new="    return ",
        caught_by=(JUDGEMENT,),
    ),
    Mutant(
        name="in progress without a runner gets on",
        file="judgement/stuck.py",
        old="    if not context.is_polled:\n        cause = f",
        new="    if context.away_since:\n        cause = f",
        caught_by=(JUDGEMENT,),
    ),
    Mutant(
        name="a mark is forgotten while Temporal cannot be asked",
        file="judgement/stuck.py",
        old="    if move.action is Action.UNMARK or (is_marked and move.finding is Finding.UNKNOWN):\n",
        new="    if is_marked and move.action is Action.UNMARK:\n",
        caught_by=(JUDGEMENT, OPEN_WORK),
    ),
    Mutant(
        name="what is queued always goes on by itself",
        file="judgement/stuck.py",
        old="        or context.away_since is not None\n",
        new="        or context.away_since is None\n",
        caught_by=(JUDGEMENT, OPEN_WORK),
    ),
    Mutant(
        name="a stuck execution began to be so in the future",
        file="judgement/stuck.py",
        old="    since = min(found.since, context.now)\n",
        new="    since = max(found.since, context.now)\n",
        caught_by=(JUDGEMENT,),
    ),
    Mutant(
        name="each reconnect begins the patience of a cancel again",
        file="executions/canceller.py",
        old="            deadline = self._deadlines.setdefault(key,"
        " self._clock.monotonic() + self._patience_s(execution))\n",
        new="            deadline = self._clock.monotonic() + self._patience_s(execution)\n",
        caught_by=(CANCELLER,),
    ),
    Mutant(
        name="a cancel trusts the wall clock",
        file="executions/canceller.py",
        old="        return min(max(PATIENCE_S - waited_s, PATIENCE_MIN_S), PATIENCE_S)\n",
        new="        return PATIENCE_S - waited_s\n",
        caught_by=(CANCELLER,),
    ),
    Mutant(
        name="what is started over leaves its old workflow behind",
        file="executions/reconcile/on_request.py",
        old="                self._withdraw_left(applied)\n",
        new="",
        caught_by=(UNFIT,),
    ),
    Mutant(
        name="one more await before the claim",
        file="runner/workflow.py",
        old="        try:\n            is_holder",
        new="        await workflow.sleep(0.05)\n        try:\n            is_holder",
        caught_by=(HISTORIES,),
    ),
)
