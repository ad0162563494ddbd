"""More mutants of the journal: whose word counts, what is kept, what is forgotten, and what is decided."""

from tests.mutants.mutant import Mutant

SEEDS = "tests/simulation/test_steps.py"
STEPS = "tests/contracts/store/test_steps.py"
BEGIN_ANSWERS = "tests/contracts/store/test_begin_answers.py"
RESUMING = "tests/contracts/store/test_resuming.py"
LOOP = "tests/integration/runner/test_agent_loop.py"
WAITS = "tests/contracts/store/test_waits.py"
JOURNAL = "tests/integration/runner/test_journal.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="any call may go on with a step that another began",
        file="store/steps.py",
        old='    if row["nonce"] == draft.nonce and step.state is StepState.BEGUN:\n',
        new="    if step.state is StepState.BEGUN:\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="an unknown step is performed again",
        file="store/steps.py",
        old="    if not step.is_in_the_air:\n",
        new="    if step.state is StepState.UNKNOWN or not step.is_in_the_air:\n",
        caught_by=(BEGIN_ANSWERS,),
    ),
    Mutant(
        name="an attempt of an earlier epoch begins a step",
        file="store/steps.py",
        old=(
            "            if execution is None or known_better(execution, epoch, run, attempt) is not None:\n"
            "                return Begun(answer=BeginAnswer.STALE)\n"
        ),
        new="            if execution is None:\n                return Begun(answer=BeginAnswer.STALE)\n",
        caught_by=(BEGIN_ANSWERS,),
    ),
    Mutant(
        name="an attempt that was overtaken ends a step",
        file="store/steps.py",
        old=(
            "            if execution is None or known_better(execution, epoch, run, attempt) is not None:\n"
            "                return ReportResult.STALE, False\n"
        ),
        new="            if execution is None:\n                return ReportResult.STALE, False\n",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a step is taken from the attempt that has it",
        file="store/steps.py",
        old='    is_gone = (row["epoch"], row["run"], row["attempt"]) != (epoch, run, attempt)\n',
        new="    is_gone = (epoch, run, attempt) != ()\n",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a resume forgets the whole journal",
        file="store/resuming.py",
        old="        return [find_step(id_, journal, decision.repeat), *list_decisions(journal, [decision.repeat])]\n",
        new="        return list(journal)\n",
        caught_by=(SEEDS, RESUMING),
    ),
    Mutant(
        name="what began after a forgotten step is kept",
        file="store/resuming.py",
        old="        return [*journal[len(before) :], *limits]\n",
        new="        return [first, *limits]\n",
        caught_by=(RESUMING,),
    ),
    Mutant(
        name="every resume forgets what is in the air",
        file="store/executions.py",
        old="            await forget_in_the_air(writing, [id_ for id_ in made if id_ in repeating])\n",
        new="            await forget_in_the_air(writing, list(made))\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="a step that a person skipped is performed",
        file="domain/step.py",
        old="frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED})\n",
        new="frozenset({StepState.DONE, StepState.FAILED})\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="a runner never reads what is recorded",
        file="runner/recorded_steps.py",
        old="        self._after: int | None = None if is_empty else 0\n",
        new="        self._after: int | None = None if is_empty or not is_empty else 0\n",
        caught_by=(SEEDS, JOURNAL),
    ),
    Mutant(
        name="a runner takes what it has read for the answer to any input",
        file="runner/journal.py",
        old="        if kept is not None and kept.input_hash == draft.input_hash:",
        new="        if kept is not None and draft.input_hash:",
        caught_by=(JOURNAL,),
    ),
    Mutant(
        name="an attempt with an unknown step goes on without it",
        file="runner/attempt.py",
        old="        except* StepParked:\n            is_parked = True\n",
        new="        except* StepParked as parked:\n            end = _End(outcome=_fail(str(parked)))\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="all calls of an execution have one key",
        file="domain/idempotency.py",
        old="\\0{strip_retries(key)}{anew}",
        new="\\0{len(key)}{anew}",
        caught_by=(LOOP,),
    ),
    Mutant(
        name="a tool that says nothing of itself may be called again",
        file="tool_server/connection.py",
        old="        hinted = Effect.ONCE\n",
        new="        hinted = Effect.REPEATABLE\n",
        caught_by=(LOOP,),
    ),
    Mutant(
        name="a decision is taken a second time",
        file="store/decisions.py",
        old="where(_OF.execution_id.in_(_IDS), _OF.verdict.is_(None)).order_by(",
        new="where(_OF.execution_id.in_(_IDS)).order_by(",
        caught_by=(WAITS,),
    ),
    Mutant(
        name="a decision holds for other arguments",
        file="store/decisions.py",
        old='        if known is not None and known["arguments_hash"] == call.arguments_hash:\n',
        new="        if known is not None and call.arguments_hash:\n",
        caught_by=(WAITS,),
    ),
    Mutant(
        name="a decision outlives the step that it was about",
        file="store/resuming.py",
        old="        if decision.forget_from:  # else",
        new="        if not decision.forget_from:  # else",
        caught_by=(WAITS, RESUMING),
    ),
    Mutant(
        name="the last decision wakes nobody",
        file="store/waits.py",
        old="            if not rest:\n                woken = ",
        new="            if rest:\n                woken = ",
        caught_by=(WAITS,),
    ),
)
