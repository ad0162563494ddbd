"""The rules for decisions: each is taken once, is the one that was made, and has the execution go on."""

from collections import Counter
from collections.abc import Sequence

from stigmer_cli.api.resources import EventBody
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.waiting import Verdict, WaitFor
from tests.chaos.decider import Decider
from tests.chaos.journals import Journal


def wrong_decisions(journal: Journal, events: Sequence[EventBody], decider: Decider) -> str:
    """What is wrong with what became of the choices of `decider` about an execution; empty if nothing is."""
    told = Counter(str(event.data.get("step")) for event in events if event.type is EventType.DECIDED)
    known = {step: found.verdict for step, found in journal.decisions.items() if found.verdict is not None}
    if told != Counter(known.keys()):
        return f"decided in the timeline: {dict(told)}, and in the store: {known}"
    for step, verdict in known.items():
        choice = decider.choices.get((journal.execution, step))
        if choice is None or choice.verdict != verdict:
            return f"{step} is {verdict}, and it was to be {choice.verdict if choice else 'left alone'}"
    if lost := [step for name, step in decider.acknowledged if name == journal.execution and step not in known]:
        return f"decisions that were confirmed are gone: {sorted(lost)}"
    if waiting := sorted(step for step, found in journal.decisions.items() if found.verdict is None):
        return f"these calls still wait for a decision: {waiting}"
    return _wrong_wakes(events)


def count_verdicts(journal: Journal) -> Counter[Verdict]:
    """How many calls were decided, by what was decided."""
    return Counter(found.verdict for found in journal.decisions.values() if found.verdict is not None)


def _wrong_wakes(events: Sequence[EventBody]) -> str:
    """Each wait for a decision is ended once, by the last decision that it is about."""
    left = 0
    for event in events:
        if event.type is EventType.WAITING and event.data.get("for") == WaitFor.APPROVAL:
            left = int(str(event.data.get("calls", 0)))
        elif event.type is EventType.DECIDED:
            left -= 1
        elif event.type is EventType.RESUMED and event.data.get("waited") and left:
            return f"it was woken while {left} of its calls waited for a decision"
    return f"{left} decisions of its last wait are missing" if left else ""
