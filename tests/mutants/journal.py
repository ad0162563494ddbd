"""Mutants of the journal: what is performed again, what is taken for recorded, and whose word counts."""

from tests.mutants.mutant import Mutant

STEPS = "tests/contracts/store/test_steps.py"
BEGIN_ANSWERS = "tests/contracts/store/test_begin_answers.py"
JOURNAL = "tests/integration/runner/test_journal.py"
ATTEMPT = "tests/unit/runner/test_attempt.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a step that may have had its effect is given to another call",
        file="store/steps.py",
        old="    if not step.is_in_the_air:\n",
        new="    if step.state is not StepState.UNKNOWN:\n",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="another call of the same attempt is taken for the first one",
        file="store/steps.py",
        old='    if row["nonce"] == draft.nonce and step.state is StepState.BEGUN:\n',
        new='    if row["attempt"] == execution["claimed_attempt"] and step.state is StepState.BEGUN:\n',
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a result is taken for an answer to another input",
        file="store/steps.py",
        old="        if step.input_hash == draft.input_hash or ",
        new="        if step.input_hash or ",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="an attempt that was overtaken begins a step",
        file="store/steps.py",
        old=(
            "            if execution is None or known_better(execution, epoch, run, attempt) is not None:\n"
            "                return Begun(answer=BeginAnswer.STALE)\n"
        ),
        new=(
            '            if execution is None or execution["epoch"] != epoch:\n'
            "                return Begun(answer=BeginAnswer.STALE)\n"
        ),
        caught_by=(BEGIN_ANSWERS,),
    ),
    Mutant(
        name="a step ends by the word of a call that no longer has it",
        file="store/steps.py",
        old='            if row is not None and row["nonce"] == step.draft.nonce:\n',
        new="            if row is not None:\n",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="an execution with an unknown step is not marked",
        file="store/steps.py",
        old="    await _mark(writing, execution, AttentionCode.EFFECT_UNKNOWN, reason)\n",
        new="",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a result that is sent again is refused",
        file="store/steps.py",
        old='    if row["state"] in {StepState.DONE, StepState.FAILED}:\n',
        new='    if row["state"] == StepState.FAILED:\n',
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a step of effect once is recorded without having begun",
        file="store/steps.py",
        old="            if step.draft.effect is Effect.ONCE:\n",
        new="            if row is not None:\n",
        caught_by=(STEPS,),
    ),
    Mutant(
        name="a runner acts before it says so",
        file="runner/journal.py",
        old="BEGINS = frozenset({Effect.REPEATABLE, Effect.ONCE})\n",
        new="BEGINS = frozenset({Effect.REPEATABLE})\n",
        caught_by=(JOURNAL,),
    ),
    Mutant(
        name="a journal that was read in part is taken for the whole",
        file="runner/recorded_steps.py",
        old="        return self._after is None\n",
        new="        return True\n",
        caught_by=(JOURNAL,),
    ),
    Mutant(
        name="a runner goes on after its result was refused",
        file="runner/journal.py",
        old=(
            '        if not await self._finish(draft, end.model_copy(update={"took_s": max(0.0, took_s)})):\n'
            "            raise Superseded\n"
        ),
        new='        await self._finish(draft, end.model_copy(update={"took_s": max(0.0, took_s)}))\n',
        caught_by=(JOURNAL,),
    ),
    Mutant(
        name="a server that keeps no journals is told of a step",
        file="runner/attempt.py",
        old="        is_recorded = work.has_steps is None or work.spec is not None\n",
        new="        is_recorded = work.spec is not None\n",
        caught_by=(ATTEMPT,),
    ),
)
