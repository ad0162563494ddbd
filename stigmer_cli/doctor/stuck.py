"""Checks of category Executions: open runs whose workflow task or activities do not get on, as the server judges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stigmer_cli.doctor.check import Check, Found, failed, passed, skipped, warned
from stigmer_cli.doctor.executions import execution_check
from stigmer_cli.doctor.facts.server_clock import servers_now
from stigmer_cli.doctor.text import IDS_SHOWN, count, listed, span
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass

if TYPE_CHECKING:
    from stigmer_cli.api.stuck import StuckGroup
from stigmer_cli.doctor.facts.facts import Facts

RECONCILE = "stigmer executions reconcile"
CANCEL = "stigmer executions cancel"
UNASKED = skipped("the server did not say in time what does not get on")


async def cannot_replay(facts: "Facts") -> Found:
    """Runs whose workflow task fails again and again."""
    groups = await _groups(facts, StuckClass.CANNOT_REPLAY)
    if groups is None:
        return UNASKED
    if not groups:
        return passed("every open run fits the code of the runners")
    flag = " --include-in-progress" if any(group.phase is Phase.IN_PROGRESS for group in groups) else ""
    return failed(
        await _words(facts, groups, "cannot go on"), f"{RECONCILE} {_some(groups)}{flag}", **_evidence(groups)
    )


async def keeps_failing(facts: "Facts") -> Found:
    """Runs of which one step is tried again and again, or waits for a server that does not answer its runner."""
    groups = await _groups(facts, StuckClass.KEEPS_FAILING)
    if groups is None:
        return UNASKED
    if not groups:
        return passed("no step of an open run is tried again and again")
    hint = "stigmer restart runner" if facts.endpoints else f"{CANCEL} {groups[0].ids[0]}"
    return failed(await _words(facts, groups, "failing again and again"), hint, **_evidence(groups))


async def standing_still(facts: "Facts") -> Found:
    """In progress, and no runner has taken up what comes next."""
    groups = await _groups(facts, StuckClass.WAITING_FOR_RUNNER, StuckClass.STARTING_LATE)
    if groups is None:
        return UNASKED
    groups = [group for group in groups if group.phase is Phase.IN_PROGRESS]
    if not groups:
        return passed("somebody works on everything that is in progress")
    words = await _words(facts, groups, "in progress, and nobody works on it")
    if all(group.kind is StuckClass.STARTING_LATE for group in groups):
        return warned(words, "stigmer work", **_evidence(groups))
    return failed(words, "stigmer restart runner" if facts.endpoints else "stigmer work", **_evidence(groups))


async def _groups(facts: "Facts", *kinds: StuckClass) -> "list[StuckGroup] | None":
    """The groups of these classes, the oldest first; None where the server did not say."""
    report = (await facts.executions()).stuck
    if report is None:
        return None
    return sorted((group for group in report.groups if group.kind in kinds), key=lambda group: group.oldest_at)


def _ids(groups: "Sequence[StuckGroup]") -> list[str]:
    return [name for group in groups for name in group.ids]


def _some(groups: "Sequence[StuckGroup]") -> str:
    return " ".join(_ids(groups)[:IDS_SHOWN])


async def _words(facts: "Facts", groups: "Sequence[StuckGroup]", what: str) -> str:
    number = sum(group.count for group in groups)
    age = span((await servers_now(facts) - groups[0].oldest_at).total_seconds())
    which = f"{count(number, 'execution')} ({listed(_ids(groups))}; the oldest {age} old)"
    return f"{which} {what}: {groups[0].cause}"


def _evidence(groups: "Sequence[StuckGroup]") -> dict[str, object]:
    return {
        "count": sum(group.count for group in groups),
        "oldestAt": groups[0].oldest_at.isoformat(),
        "ids": _ids(groups)[:IDS_SHOWN],
        "cause": groups[0].cause,
    }


STUCK_CHECKS: tuple[Check, ...] = (
    execution_check(
        "STG408",
        "cannot replay",
        cannot_replay,
        "A runner goes on with a run by replaying its history. Where the code of the runner does not do again what the"
        " history says, as after an upgrade with a changed workflow, the workflow task fails and is tried again for"
        " ever. Such a run goes on by itself as soon as a runner with fitting code polls. `stigmer executions reconcile"
        " ID` starts it over where no run has claimed it; where effects may have happened, that takes"
        " `--include-in-progress`. `stigmer executions cancel ID` ends it.",
    ),
    execution_check(
        "STG409",
        "keeps failing",
        keeps_failing,
        "One step of the run is in its third attempt or a later one, or it has been asking its server for more than"
        " five seconds: its runner dies or is frozen, or its runner cannot reach its own server, or that server refuses"
        " it. `stigmer logs runner` tells more. `stigmer restart runner` has it taken up by a runner with this stack's"
        " server and token; `stigmer executions cancel ID` ends the execution.",
    ),
    execution_check(
        "STG410",
        "in progress and nobody works on it",
        standing_still,
        "A run has claimed them, and what comes next waits in Temporal for a runner: it died, or was stopped, and none"
        " has taken its place, or all are busy. Nothing is lost: the next runner goes on with them.",
    ),
)
