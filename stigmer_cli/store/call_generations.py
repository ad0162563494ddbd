"""Which calls of an execution were made anew on a person's word, so that their idempotency keys are others."""

from collections.abc import Sequence

from sqlalchemy import RowMapping

from stigmer_cli.domain.idempotency import CallGenerations, strip_retries
from stigmer_cli.domain.step import Effect, Step, StepKind, StepState

CALLED_AGAIN = frozenset({StepState.BEGUN, StepState.UNKNOWN, StepState.FAILED})
"""States of steps that may be performed again without being released from an earlier step on."""


def read_generations(row: RowMapping) -> CallGenerations:
    """Those of the execution in `row`."""
    found = row.get("call_generations")
    return CallGenerations() if found is None else CallGenerations(present=found["present"], kept=found["kept"])


def renew_generations(row: RowMapping, journal: Sequence[Step], forgotten: Sequence[Step]) -> dict[str, object]:
    """What to write into the row where the steps `forgotten` of `journal` are performed anew on purpose."""
    before = read_generations(row)
    anew = {strip_retries(step.key) for step in forgotten}
    left = {strip_retries(step.key) for step in journal if _may_be_called_again(step)} | before.kept.keys()
    kept = {key: before.find(key) for key in sorted(left - anew)}
    return {"call_generations": {"present": before.present + 1, "kept": kept}}


def _may_be_called_again(step: Step) -> bool:
    return step.state in CALLED_AGAIN and step.effect is not Effect.NONE and step.kind is not StepKind.TURN
