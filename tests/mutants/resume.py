"""Mutants of what becomes of an interrupted run: what is resumed, how often, and what is left to a person."""

from tests.mutants.mutant import Mutant

PLAN = "tests/unit/judgement/test_plan.py"
EXHAUSTIVE = "tests/unit/judgement/test_plan_exhaustive.py"
RECONCILER = "tests/integration/executions/test_reconciler.py"
RESUMING = "tests/contracts/store/test_resuming.py"
FORKING = "tests/contracts/store/test_forking.py"
QUEUE = "tests/contracts/store/test_queue.py"
STORE = "tests/contracts/store/test_transitions.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="what may have had an effect is resumed unasked",
        file="judgement/plan.py",
        old="    if step is None:\n        return _plan_interrupted",
        new="    if not rules.include_in_progress:\n        return _plan_interrupted",
        caught_by=(PLAN, EXHAUSTIVE),
    ),
    Mutant(
        name="the record of what was interrupted is not read",
        file="executions/reconcile/observe.py",
        old="    ids = [one.execution.id for one in observations if _is_interrupted(one)]\n",
        new="    ids = [one.execution.id for one in observations if one.unknown]\n",
        caught_by=(RECONCILER,),
    ),
    Mutant(
        name="what gets nowhere is resumed for ever",
        file="judgement/plan.py",
        old="    if before >= RESUMES_MAX and not is_asked:\n",
        new="    if before < 0 and not is_asked:\n",
        caught_by=(PLAN, RECONCILER),
    ),
    Mutant(
        name="a person's resume passes over a step that may have had its effect",
        file="store/resuming.py",
        old="    if left is not None and not is_about_one:\n",
        new="    if left is not None and is_about_one:\n",
        caught_by=(RESUMING,),
    ),
    Mutant(
        name="a resume forgets every failure that an agent was told about",
        file="store/resuming.py",
        old="    return [last] if ended_it else []\n",
        new="    return [step for step in journal if ended_it and step.state is StepState.FAILED]\n",
        caught_by=(RESUMING,),
    ),
    Mutant(
        name="a fork takes over the step that it is to perform",
        file="store/forking.py",
        old="table.c.seq < _BEFORE",
        new="table.c.seq <= _BEFORE",
        caught_by=(FORKING,),
    ),
    Mutant(
        name="a resume is not counted",
        file="store/progress.py",
        old="int(data[RESUMES]) if is_counted",
        new="0 * int(data[RESUMES]) if is_counted",
        caught_by=(QUEUE, RECONCILER),
    ),
    Mutant(
        name="a resume does not wait",
        file="store/transitions.py",
        old=(
            "            **_queue(QueueReason.RESUMED, detail, now),\n"
            "            **_begin_epoch(store, epoch + 1, now),\n"
            '            "next_try_at": now + timedelta(seconds=delay_s),\n'
        ),
        new=(
            "            **_queue(QueueReason.RESUMED, detail, now),\n"
            "            **_begin_epoch(store, epoch + 1, now),\n"
            '            "next_try_at": now + timedelta(seconds=0 * delay_s),\n'
        ),
        caught_by=(QUEUE,),
    ),
    Mutant(
        name="a resume stays in its epoch",
        file="store/transitions.py",
        old='        "phase": Phase.PENDING,\n        "epoch": epoch,\n',
        new='        "phase": Phase.PENDING,\n        "epoch": epoch - 1,\n',
        caught_by=(QUEUE, STORE),
    ),
    Mutant(
        name="an open workflow takes away the mark that its run has set",
        file="judgement/plan.py",
        old="    if _is_parked(observation):\n",
        new="    if _is_parked(observation) and observation.seen is None:\n",
        caught_by=(PLAN, EXHAUSTIVE),
    ),
    Mutant(
        name="what completed without an outcome in the store is done again unasked",
        file="judgement/plan.py",
        old="    if rules.include_in_progress:\n        is_pending = execution.phase is Phase.PENDING",
        new="    if not rules.retry_refused:\n        is_pending = execution.phase is Phase.PENDING",
        caught_by=(PLAN, EXHAUSTIVE),
    ),
)
