"""Timeouts of a workflow that goes on after a failure: they begin again, or it would fail of them at once.

A timeout has two steps (`workflow/interpreter/timeouts.py`): its deadline, and the verdict, false where that was met.
"""

import re
from collections.abc import Collection, Sequence

from stigmer_cli.domain.step import NOT_IN_TIME, Step, StepKind

DEADLINE, VERDICT = "deadline", "timeout"
"""The names of the two. Their keys are that of what has the timeout, which is empty for a workflow, and the name."""

PASSED_BY = re.compile(r"timeout|failed branch|retry \d+")
"""The names of steps that are recorded while an error passes what is around it."""

FORK_ENDS = ("/fork/winner", "/fork/failed")
MET_BYTES = len("false")


def find_expired(journal: Sequence[Step], error: str) -> str | None:
    """The key of what was not done in time, so that the workflow failed with `error`.

    Empty: the workflow itself. None: it failed of something else.
    """
    if NOT_IN_TIME not in error:
        return None
    for step in reversed(journal):
        if (holder := _find_expired_by(step)) is not None:
            return holder
        if not PASSED_BY.fullmatch(step.name) or (step.name == VERDICT and _find_holder(step, VERDICT) is None):
            return None
    return None


def is_left_by(step: Step, expired: str, journal: Sequence[Step]) -> bool:
    """Whether the timeout of `expired` left the step, and no race and no timeout inside of it had done so before."""
    inside = [key for one in journal if (key := _find_left(one)) is not None and key != expired]
    return _is_within(step.key, expired) and not any(_is_within(step.key, key) for key in inside)


def list_limits(journal: Sequence[Step], keys: Collection[str]) -> Sequence[Step]:
    """The steps of timeouts that begin again where the steps `keys` are performed again.

    These are the timeouts around them, and those that nothing was decided about.
    """
    decided = {_find_holder(step, VERDICT) for step in journal}

    def begins_again(holder: str | None) -> bool:
        return holder is not None and (holder not in decided or any(_is_within(key, holder) for key in keys))

    return [step for step in journal if any(begins_again(_find_holder(step, name)) for name in (DEADLINE, VERDICT))]


def describe_limits(forgotten: Sequence[Step]) -> str:
    """Which timeouts begin again, as a sentence; empty for none."""
    holders = [holder for step in forgotten if (holder := _find_holder(step, DEADLINE)) is not None]
    if not holders:
        return ""
    others = f", and {len(holders) - 1} more do" if holders[1:] else ""
    return f"the timeout of {min(holders, key=len) or 'the workflow'} begins again{others}"


def _find_left(step: Step) -> str | None:
    """The key of what the workflow leaves with this step: the branches of a fork that is decided, or what expired."""
    end = next((end for end in FORK_ENDS if step.key.endswith(end)), None)
    return f"{step.key.removesuffix(end)}/fork/branches" if end else _find_expired_by(step)


def _find_expired_by(step: Step) -> str | None:
    return _find_holder(step, VERDICT) if step.result_bytes > MET_BYTES else None


def _find_holder(step: Step, name: str) -> str | None:
    """The key of what has the timeout that `step` belongs to; None for any other step."""
    if step.kind is not StepKind.TASK or step.name != name or not step.key.endswith(f"/{name}"):
        return None
    holder = step.key.removesuffix(f"/{name}")
    *_, above, last = ("", *holder.split("/"))
    return None if last.isdigit() and above != "visits" else holder  # else it is a task of that name: /do/0/timeout


def _is_within(key: str, holder: str) -> bool:
    """Whether the step `key` is that of `holder`, or one inside of it."""
    return not holder or key == holder or key.startswith(f"{holder}/")
