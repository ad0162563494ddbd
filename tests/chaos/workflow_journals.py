"""The rules for the journals of workflows, against the ledger of what their calls did."""

import re
from collections.abc import Collection

from stigmer_cli.api.steps import StepContentsBody
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.step import Effect, StepState
from tests.chaos.journals import Journal, wrong_journal, wrong_mark
from tests.chaos.workflow_documents import ChaosWorkflow, WorkflowCall

RETRIED = re.compile(r"/retry/\d+/try(?=/)")
"""What the key of a step has of the retries around it."""


def find_wrong(journal: Journal, *, is_completed: bool, repeated: Collection[str] = ()) -> str:
    """What is wrong with the journal of an agent or a workflow; empty if nothing is.

    `repeated` are the steps that a person had performed again.
    """
    if not isinstance(journal.agent, ChaosWorkflow):
        return wrong_journal(journal, is_completed=is_completed, repeated=repeated)
    tries: dict[str, list[StepContentsBody]] = {key: [] for key in journal.agent.calls}
    for step in journal.steps.values():
        key = RETRIED.sub("/try", step.key)
        if key in tries:
            tries[key].append(step)
        elif step.effect is Effect.ONCE:
            return f"a step of no call: {step.key}"
    wrong = (
        _wrong_call(journal, key, call, tries[key], is_completed=is_completed, is_repeated=key in repeated)
        for key, call in journal.agent.calls.items()
    )
    return next((words for words in wrong if words), "")


def _wrong_call(
    journal: Journal,
    key: str,
    call: WorkflowCall,
    steps: list[StepContentsBody],
    *,
    is_completed: bool,
    is_repeated: bool,
) -> str:
    lines = journal.lines(key)
    if others := [line for line in lines if (line.tool, line.text) != (call.tool, call.text)]:
        return f"under the key of {key} came another call: {others}"
    if call.effect is Effect.ONCE:
        if len(lines) > 1 + is_repeated:
            return f"{key} ({call.tool}, once) took effect {len(lines)} times"
        if len(steps) > 1:
            return f"{key} ({call.tool}, once) has {len(steps)} steps"
        if lines and not steps and not is_repeated:  # one that nobody has to perform again leaves no step
            return f"{key} ({call.tool}, once) took effect, and never began"
    wrong = next(
        (words for step in steps if (words := _wrong_step(journal, key, step, call, is_completed=is_completed))), ""
    )
    if wrong or not is_completed or call.is_optional:
        return wrong
    if call.effect is Effect.ONCE:
        return "" if steps and steps[0].key in journal.results else f"it is COMPLETED, and {key} is not recorded"
    done = [step for step in steps if step.state is StepState.DONE]
    return "" if len(done) == 1 else f"it is COMPLETED, and {key} succeeded {len(done)} times"


def _wrong_step(journal: Journal, key: str, step: StepContentsBody, call: WorkflowCall, *, is_completed: bool) -> str:
    if (step.name, step.effect) != (call.name, call.effect):
        return f"{step.key} is {step.name} ({step.effect}), not {call.name} ({call.effect})"
    if step.state is StepState.DONE and not journal.lines(key):
        return f"{step.key} is DONE, and took no effect"
    if step.state is StepState.DONE and call.answer not in (journal.results.get(step.key) or ""):
        return f"{step.key} is DONE with the result of another call: {journal.results.get(step.key)}"
    if is_completed and step.state is StepState.BEGUN and call.effect is Effect.ONCE:
        return f"it is COMPLETED, and {step.key} is BEGUN"
    if step.state is StepState.FAILED and not call.is_tried:
        return f"{step.key} is FAILED: {step.error}"
    if step.state is StepState.UNKNOWN and call.effect is not Effect.ONCE:
        return f"{step.key} is UNKNOWN, and its effect is {call.effect}"
    return ""


def find_wrong_mark(journal: Journal, code: AttentionCode, reason: str) -> str:
    """What is wrong with an execution that waits for a person because of a step; empty if nothing is.

    In branches of a workflow more than one step may be in the air: it names one of them.
    """
    air = journal.in_the_air
    if not isinstance(journal.agent, ChaosWorkflow) or code is AttentionCode.JOURNAL_MISMATCH or len(air) < 2:
        return wrong_mark(journal, code, reason)
    named = [step for step in air if f"step {step.key} ({step.kind} {step.name})" in reason]
    if len(named) != 1 or (named[0].runner or "?") not in reason:
        return f"it names {len(named)} of the steps in the air: {[step.key for step in air]}"
    is_known = code is AttentionCode.EFFECT_UNKNOWN and named[0].state is not StepState.UNKNOWN
    return f"{named[0].key} is {named[0].state}" if is_known else ""
