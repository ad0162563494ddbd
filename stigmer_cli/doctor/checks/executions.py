"""Checks of category Executions: what is stuck, as the server judges it, by class, with ids and the way out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stigmer_cli.doctor.check import Found, because, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts
from stigmer_cli.doctor.facts.server_clock import servers_now
from stigmer_cli.doctor.repairs.orphans import BRING_BACK
from stigmer_cli.doctor.text import IDS_SHOWN, count, list_names, with_binary
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.time_format import ago

if TYPE_CHECKING:
    from stigmer_cli.api.stuck import StuckGroup

SERVER_API, SUBMITS = "STG108", "STG212"
TIMEOUT_S = 2.0
NOBODY_ASKED = "nobody could ask Temporal about them in time"


@check("STG401", "queued", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def queued(facts: Facts) -> Found:
    """They are accepted and safe in the store, and have waited for more than five seconds to be submitted.

    While Temporal is away this is normal: the server submits them when Temporal is back. While Temporal is there, the
    dispatcher of the server is stuck.
    """
    return await _judge_stuck(facts, StuckClass.QUEUED, well="nothing waits to be submitted", asks_temporal=False)


@check("STG402", "orphans", needs=(SERVER_API,), timeout_s=TIMEOUT_S, repair=BRING_BACK)
async def orphans(facts: Facts) -> Found:
    """An orphan was submitted to Temporal and has no workflow there.

    No run has had any effect, so it may be submitted again. The server looks up open executions in Temporal by id, and
    writes nothing: the newest hundred, then the others, oldest first, as far as its time allows. It submits orphans
    again by itself every minute unless STIGMER_RECONCILE=manual; `stigmer executions reconcile` does it now. Where the
    server cannot ask Temporal, this looks up the oldest twenty from here.
    """
    return await _judge_stuck(facts, StuckClass.ORPHAN, well="none is an orphan")


@check("STG403", "waiting for a runner", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def waiting(facts: Facts) -> Found:
    """They are submitted, no run has claimed them, and no runner asks the task queue for work.

    PENDING means that no run has had any effect yet.
    """
    return await _judge_stuck(
        facts,
        StuckClass.WAITING_FOR_RUNNER,
        phase=Phase.PENDING,
        well="nothing waits for a runner",
        asks_temporal=False,
    )


@check("STG404", "lost", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def lost(facts: Facts) -> Found:
    """They were in progress, Temporal has no workflow for them any more, and one step may have had its effect.

    That step began, its effect must not happen twice, and nobody recorded its result: so nothing repeats it unasked.
    Find out whether it took effect. `--include-in-progress` goes on and repeats it, in a new epoch: what the old run
    may still report is then refused.
    """
    return await _judge_stuck(facts, StuckClass.LOST, well="none is lost")


@check("STG405", "attention", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def attention(facts: Facts) -> Found:
    """Only a person can decide what becomes of them; the reason says why.

    Temporal refused them for good, how they ended or what a step did cannot be found out, or they were interrupted
    again and again. Look at the reason with `stigmer executions get ID`; `stigmer executions reconcile ID` tries again.
    Or they are paused, because retries are used up, a limit is reached, or a tool server cannot be used: repair that,
    and `stigmer executions resume ID` goes on. Or somebody paused their workflow in Temporal.
    """
    return await _judge_stuck(
        facts,
        StuckClass.REFUSED,
        StuckClass.SUBMIT_FAILED,
        StuckClass.RESULT_UNKNOWN,
        StuckClass.KEEPS_INTERRUPTED,
        StuckClass.EFFECT_UNKNOWN,
        StuckClass.JOURNAL_MISMATCH,
        StuckClass.PAUSED,
        StuckClass.HELD,
        well="none needs attention",
        asks_temporal=False,
    )


@check("STG406", "behind", needs=(SERVER_API,), timeout_s=TIMEOUT_S, repair=BRING_BACK)
async def behind(facts: Facts) -> Found:
    """Their run has ended in Temporal, and the store does not say so.

    The runner was killed before it could report, or somebody terminated the workflow in Temporal. `stigmer executions
    reconcile` takes the outcome over.
    """
    return await _judge_stuck(facts, StuckClass.BEHIND, well="none is behind")


@check("STG407", "starting late", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def late(facts: Facts) -> Found:
    """They were submitted more than five seconds ago, runners are there, and none has taken them up.

    The runners have more than they can take. Each further `stigmer work` takes its share. Or somebody limited the task
    queue in Temporal: then the command that removes the limit is shown.
    """
    return await _judge_stuck(
        facts,
        StuckClass.STARTING_LATE,
        StuckClass.RATE_LIMITED,
        phase=Phase.PENDING,
        well="what is submitted is being taken up",
    )


@check("STG408", "cannot replay", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def cannot_replay(facts: Facts) -> Found:
    """A runner resumes a run by replaying its history.

    If the code of the runner does not repeat what the history says, as after an upgrade with a changed workflow, the
    workflow task fails and is tried again for ever. Such a run continues as soon as a runner with fitting code
    polls. `stigmer executions reconcile ID` starts it over where no run has claimed it; where effects may have
    happened, that takes `--include-in-progress`. `stigmer executions cancel ID` ends it.
    """
    return await _judge_stuck(facts, StuckClass.CANNOT_REPLAY, well="every open run fits the code of the runners")


@check("STG409", "keeps failing", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def keeps_failing(facts: Facts) -> Found:
    """One step of the run is in its third attempt or later, or its server has not answered for more than five seconds.

    Its runner dies or is frozen, or cannot reach its own server, or that server refuses it. `stigmer logs runner` tells
    more. `stigmer restart runner` has it taken up by a runner with this stack's server and token; `stigmer executions
    cancel ID` ends the execution.
    """
    return await _judge_stuck(facts, StuckClass.KEEPS_FAILING, well="no step of an open run is tried again and again")


@check("STG410", "in progress and nobody works on it", needs=(SERVER_API,), timeout_s=TIMEOUT_S)
async def standing_still(facts: Facts) -> Found:
    """A run has claimed them, and what comes next waits in Temporal for a runner.

    The runner died or was stopped, and none has taken its place, or all are busy. Nothing is lost: the next runner goes
    on with them. Or their model is busy or cannot be reached: it is asked again for as long as STIGMER_MODEL_RETRY_FOR
    says. Or somebody limited the task queue in Temporal.
    """
    return await _judge_stuck(
        facts,
        StuckClass.WAITING_FOR_RUNNER,
        StuckClass.STARTING_LATE,
        StuckClass.RATE_LIMITED,
        StuckClass.WAITING_FOR_MODEL,
        phase=Phase.IN_PROGRESS,
        well="somebody works on everything that is in progress",
    )


@check("STG411", "interrupted", needs=(SERVER_API,), timeout_s=TIMEOUT_S, repair=BRING_BACK)
async def interrupted(facts: Facts) -> Found:
    """They were in progress, Temporal has no workflow for them any more, and no effect is in the air.

    What their runs finished is recorded, and what they did not finish may be done again. The server resumes them by
    itself every minute unless STIGMER_RECONCILE=manual; `stigmer executions reconcile` does it now.
    """
    return await _judge_stuck(facts, StuckClass.INTERRUPTED, well="none was interrupted")


async def _judge_stuck(
    facts: Facts, *kinds: StuckClass, well: str, phase: Phase | None = None, asks_temporal: bool = True
) -> Found:
    """Report the executions of `kinds`, in `phase` if it is given; passes with `well` where there is none.

    `asks_temporal`: that there is none is known only if Temporal could be asked.
    """
    seen = await facts.executions()
    groups = seen.groups(*kinds, phase=phase)
    if not groups:
        return _judge_none(seen, well, asks_temporal=asks_temporal)
    if _are_held_up(groups, seen):
        return because(SUBMITS)
    words = f"{await _describe_count(facts, groups)} {_kinds(groups)}: {groups[0].cause}"
    found = warned if all(map(_is_minor, groups)) else failed
    return found(words, _commands(facts, groups), **_evidence(groups, is_all=seen.is_whole))


def _judge_none(seen: ExecutionsSeen, well: str, *, asks_temporal: bool) -> Found:
    if asks_temporal and not seen.is_judged:
        return skipped(NOBODY_ASKED)
    return passed(well if seen.is_whole else f"{well}, as far as could be looked up in a moment")


def _are_held_up(groups: "Sequence[StuckGroup]", seen: ExecutionsSeen) -> bool:
    """Whether they are queued because Temporal does not take what is submitted, which another check reports."""
    names = {name for group in groups if group.kind == StuckClass.QUEUED for name in group.ids}
    rows = [row for row in seen.open if row.metadata.id in names]
    return any(row.status.dispatch.reason is QueueReason.TEMPORAL_BUSY for row in rows)


def _is_minor(group: "StuckGroup") -> bool:
    """Whether they continue by themselves."""
    return group.passes or group.kind == StuckClass.STARTING_LATE


def _commands(facts: Facts, groups: "Sequence[StuckGroup]") -> str:
    """The commands against all of them; groups that pass by themselves add none where another group needs one."""
    told = [group for group in groups if not group.passes] or groups
    commands = dict.fromkeys(group.commands[0 if facts.is_here else -1] for group in told)
    return " && ".join(with_binary(facts, command) for command in commands)


def _ids(groups: "Sequence[StuckGroup]") -> list[str]:
    return [name for group in groups for name in group.ids]


def _kinds(groups: "Sequence[StuckGroup]") -> str:
    return " or ".join(dict.fromkeys(group.kind for group in groups))


async def _describe_count(facts: Facts, groups: "Sequence[StuckGroup]") -> str:
    """How many, which, and how old."""
    number, least = sum(group.count for group in groups), "" if (await facts.executions()).is_whole else "at least "
    age = ago(groups[0].oldest_at, await servers_now(facts))
    return f"{least}{count(number, 'execution')} ({list_names(_ids(groups), number)}; the oldest {age} old)"


def _evidence(groups: "Sequence[StuckGroup]", *, is_all: bool) -> dict[str, object]:
    """All of it, for scripts."""
    return {
        "count": sum(group.count for group in groups),
        "isAll": is_all,
        "oldestAt": groups[0].oldest_at.isoformat(),
        "since": groups[0].since.isoformat(),
        "ids": _ids(groups)[:IDS_SHOWN],
        "class": groups[0].kind,
        "cause": groups[0].cause,
    }
