"""The classes of stuck executions, and what to type for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase


class StuckClass(StrEnum):
    """Why an execution is stuck; scripts may rely on these words."""

    QUEUED = "queued"
    REFUSED = "refused"
    ORPHAN = "orphan"
    BEHIND = "behind"
    INTERRUPTED = "interrupted"
    KEEPS_INTERRUPTED = "keeps-interrupted"
    LOST = "lost"
    EFFECT_UNKNOWN = "effect-unknown"
    JOURNAL_MISMATCH = "journal-mismatch"
    SUBMIT_FAILED = "submit-failed"
    RESULT_UNKNOWN = "result-unknown"
    WAITING_FOR_RUNNER = "waiting for a runner"
    STARTING_LATE = "starting late"
    RATE_LIMITED = "rate-limited"
    WAITING_FOR_MODEL = "waiting for its model"
    PAUSED = "paused"
    CANNOT_REPLAY = "cannot-replay"
    HELD = "held"
    KEEPS_FAILING = "keeps-failing"
    UNKNOWN = "unknown"


GRACE_S = 5.0
"""An execution that was accepted or changed less than this ago is not stuck."""

RECONCILE = "stigmer executions reconcile"
RESUME = "stigmer executions resume"
RERUN = "stigmer executions rerun"
CANCEL = "stigmer executions cancel"
WATCH = "stigmer executions watch"
MORE_WORKERS = "stigmer work"
WAIT = "stigmer doctor --wait=30"
"""For an execution that continues without help."""

NAMED_MAX = 5
"""How many executions one command names; the others need the same command."""


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """What to type.

    `commands` are alternatives: the first if the stack is on this machine, the last if it is not. `note` is what a
    person should know before.
    """

    commands: tuple[str, ...]
    note: str = ""

    def __str__(self) -> str:
        """The commands, and the note if there is one."""
        return f"{', or '.join(self.commands)} {self.note}".rstrip()


_RECONCILE = WayOut(commands=(f"{RECONCILE} {{ids}}",))
_START_OVER = WayOut(
    commands=(f"{RECONCILE} {{ids}} --include-in-progress",),
    note="starts it over; what its run did may be done again",
)
_REPEAT = WayOut(
    commands=(f"{RECONCILE} {{ids}} --include-in-progress",),
    note="goes on with it, and repeats the step that may have had its effect",
)
_WAYS_OUT: Mapping[StuckClass, WayOut] = {
    StuckClass.QUEUED: WayOut(commands=("stigmer restart server",)),
    StuckClass.ORPHAN: _RECONCILE,
    StuckClass.BEHIND: _RECONCILE,
    StuckClass.REFUSED: _RECONCILE,
    StuckClass.SUBMIT_FAILED: _RECONCILE,
    StuckClass.RESULT_UNKNOWN: _START_OVER,
    StuckClass.INTERRUPTED: _RECONCILE,
    StuckClass.KEEPS_INTERRUPTED: _RECONCILE,
    StuckClass.LOST: _REPEAT,
    StuckClass.EFFECT_UNKNOWN: _REPEAT,
    StuckClass.JOURNAL_MISMATCH: WayOut(commands=(f"{RERUN} {{id}}", f"{CANCEL} {{id}}")),
    StuckClass.PAUSED: WayOut(commands=(f"{RESUME} {{ids}}",), note="once the cause is repaired"),
    StuckClass.CANNOT_REPLAY: _START_OVER,
    StuckClass.HELD: _START_OVER,
    StuckClass.KEEPS_FAILING: WayOut(commands=("stigmer restart runner", f"{CANCEL} {{id}}")),
    StuckClass.WAITING_FOR_RUNNER: WayOut(commands=("stigmer up", MORE_WORKERS)),
    StuckClass.STARTING_LATE: WayOut(commands=(MORE_WORKERS,)),
    StuckClass.RATE_LIMITED: WayOut(commands=(WAIT,)),
    StuckClass.WAITING_FOR_MODEL: WayOut(commands=(f"{WATCH} {{id}}", f"{CANCEL} {{id}}")),
    StuckClass.UNKNOWN: WayOut(commands=(WAIT,)),
}
_UNCLAIMED: Mapping[StuckClass, WayOut] = {
    StuckClass.CANNOT_REPLAY: _RECONCILE,
    StuckClass.HELD: _RECONCILE,
    StuckClass.LOST: _RECONCILE,
    StuckClass.EFFECT_UNKNOWN: _RECONCILE,
}
"""Where no run has claimed it, no effect can be repeated."""

REPAIRABLE = frozenset({StuckClass.ORPHAN, StuckClass.BEHIND, StuckClass.INTERRUPTED})
"""The classes that a reconcile without ids repairs."""


REPEATABLE = frozenset({StuckClass.LOST, StuckClass.EFFECT_UNKNOWN})
"""The classes that a reconcile without ids, but with `--include-in-progress`, repairs."""


def is_repairable(kind: StuckClass | str) -> bool:
    """Whether a reconcile without ids repairs an execution of this class; False for a class unknown here."""
    return kind in REPAIRABLE


def way_out(kind: StuckClass, execution: ExecutionId, phase: Phase, *, passes: bool = False) -> WayOut:
    """What to type for an execution of this class; `passes`: it continues without help."""
    return _way_out(kind, (execution,), phase, passes=passes)


def way_out_of_step(execution: ExecutionId, step: str) -> WayOut:
    """What to type for an execution of which `step`, and no other step, may have had its effect."""
    again = f"{RECONCILE} {execution} --include-in-progress"
    return WayOut(
        commands=(f"{RESUME} {execution} --repeat {step}", f"{RESUME} {execution} --skip {step}", again),
        note="(the first and the last repeat what may have been done)",
    )


def way_out_of_mismatch(execution: ExecutionId, step: str) -> WayOut:
    """What to type for an execution whose recorded `step` does not fit any more."""
    return WayOut(
        commands=(f"{RESUME} {execution} --from {step}", f"{RERUN} {execution}", f"{CANCEL} {execution}"),
        note="(the first performs that step and all after it again)",
    )


def way_out_of_all(kind: StuckClass, ids: Sequence[ExecutionId], phase: Phase, *, passes: bool = False) -> WayOut:
    """The same for `ids`, all of this class: a command that asks nothing where none has to be named."""
    if is_repairable(kind):
        return WayOut(commands=(f"{RECONCILE} --yes",))
    named = () if kind in REPEATABLE and len(ids) > NAMED_MAX else ids[:NAMED_MAX]
    return replace(_way_out(kind, named, phase, passes=passes), note="")


def _way_out(kind: StuckClass, ids: Sequence[ExecutionId], phase: Phase, *, passes: bool) -> WayOut:
    if passes and kind is not StuckClass.WAITING_FOR_MODEL:
        return WayOut(commands=(WAIT,))
    found = _UNCLAIMED.get(kind, _WAYS_OUT[kind]) if phase is Phase.PENDING else _WAYS_OUT[kind]
    named = {"ids": " ".join(ids), "id": next(iter(ids), "")}
    return replace(found, commands=tuple(" ".join(one.format(**named).split()) for one in found.commands))
