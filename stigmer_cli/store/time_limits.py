"""Times that a workflow may take, where it goes on after a failure: they begin again, or they would be up at once.

A timeout has two steps (`workflow/interpreter/timeouts.py`): its deadline, and the verdict, false where that was met.
Retries (`try_task.py`) have one until when they go on, and one for each that says when it is due, or that it is not;
a subscription (`subscription.py`) has one until when it takes messages.
"""

import re
from collections.abc import Collection, Sequence

from stigmer_cli.domain.step import NOT_IN_TIME, Step, StepKind

DEADLINE, VERDICT = "deadline", "timeout"
"""The names of the two. Their keys are that of what has the timeout, which is empty for a workflow, and the name."""

PASSED_BY = re.compile(r"timeout|failed branch|retry \d+")
"""The names of steps that are recorded while an error passes what is around it."""

ENDS = re.compile(r"(?P<holder>.*)/(?:end end of retries|until .*: end of the subscription)")
"""Key and name of the step until when retries go on, or a subscription does."""

RETRY = re.compile(r"(?P<holder>.*)/retry/\d+ retry \d+")
"""Key and name of the step that says when a retry is due; null where there is none."""

BRANCHES = "/fork/branches/"
FORK_ENDS = ("/fork/winner", "/fork/failed")
MET_BYTES = len("false")
NONE_BYTES = len("null")


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
    """The steps of times that begin again where the steps `keys` are performed again.

    These are the timeouts around them, and those that nothing was decided about; and the ends of retries and
    subscriptions around them, in them, and in the other branches of their forks, which were left in the middle.
    """
    decided = {_find_holder(step, VERDICT) for step in journal}

    def begins_again(holder: str | None) -> bool:
        return holder is not None and (holder not in decided or any(_is_within(key, holder) for key in keys))

    limits = [step for step in journal if any(begins_again(_find_holder(step, name)) for name in (DEADLINE, VERDICT))]
    return [*limits, *_list_ends(journal, keys)]


def _list_ends(journal: Sequence[Step], keys: Collection[str]) -> Sequence[Step]:
    """The ends that begin again, each with what says that there is no other retry."""
    forks = {key[:at] for key in keys for at in range(len(key)) if key.startswith(BRANCHES, at)}
    around = {*keys, *(f"{fork}{BRANCHES.rstrip('/')}" for fork in forks)}

    def begins_again(step: Step) -> bool:
        if (holder := _find_in_name(ENDS, step)) is not None:
            is_tried = any(_is_tried_again(key, holder) for key in keys)
            return is_tried or any(_is_within(holder, key) for key in around)
        holder = _find_in_name(RETRY, step) if step.result_bytes == NONE_BYTES else None
        return holder is not None and any(_is_tried_again(key, holder) for key in keys)

    return [step for step in journal if begins_again(step)]


def describe_limits(forgotten: Sequence[Step]) -> str:
    """Which times begin again, as a sentence; empty for none."""
    times = [time for step in forgotten if (time := _describe_time(step)) is not None]
    if not times:
        return ""
    others = f", and {len(times) - 1} more do" if times[1:] else ""
    return f"{min(times)[1]} begins again{others}"


def _describe_time(step: Step) -> tuple[int, str] | None:
    """The time that begins with `step`, and before it a number by which the outermost one is the first."""
    if (holder := _find_holder(step, DEADLINE)) is not None:
        return len(holder), f"the timeout of {holder or 'the workflow'}"
    if (holder := _find_in_name(ENDS, step)) is None:
        return None
    what = "the time for retries" if step.key.endswith("/end") else "the time of the subscription"
    return len(holder), f"{what} of {holder}"


def _find_in_name(pattern: re.Pattern[str], step: Step) -> str | None:
    """The key of what has the time that `step` is of, by `pattern`; None for any other step."""
    found = pattern.fullmatch(f"{step.key} {step.name}") if step.kind is StepKind.TASK else None
    return found["holder"] if found else None


def _is_tried_again(key: str, holder: str) -> bool:
    """Whether the step `key` is one inside of `holder`, and not of what that does after its last retry."""
    return _is_within(key, holder) and not _is_within(key, f"{holder}/catch")


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
