"""Checks of category Executions: what is stuck, by the reason why, with ids and the command that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stigmer_cli.clock import is_older
from stigmer_cli.doctor.check import Check, Found, Probe, because, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.pollers import live_pollers
from stigmer_cli.doctor.facts.server_clock import servers_now
from stigmer_cli.doctor.repairs.fix import Fix
from stigmer_cli.doctor.repairs.orphans import BRING_BACK
from stigmer_cli.doctor.text import IDS_SHOWN, clock_time, count, listed, span
from stigmer_cli.domain.execution import AttentionCode, QueueReason
from stigmer_cli.domain.phase import Phase

if TYPE_CHECKING:
    from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts

GRACE_S = 5.0
"""Younger than this, an execution is on its way and not stuck."""

LATE_S = 15.0
DRAINING_S = 15.0
"""So long after a reconnect what has piled up may still be on its way to Temporal."""

SERVER_API, SUBMITS = "STG108", "STG212"
TIMEOUT_S = 2.0
QUEUED, SUBMITTED = "queued", "submitted"
CONNECTED = "CONNECTED"
ORPHAN, BEHIND, LOST = "orphan", "behind", "lost"
NAMED = {ORPHAN: "an orphan", BEHIND: "behind"}
RECONCILE = "stigmer executions reconcile"
WAIT = "stigmer doctor --wait=30"
ULID_AT, TIME_CHARS = 4, 10
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
"""The first ten of an id's characters behind its kind are its milliseconds (the ULID specification)."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Executions that are stuck for one reason, oldest first; `is_all` unless there may be more than were looked at."""

    ids: Sequence[str]
    oldest_at: datetime
    cause: str
    is_all: bool

    def counted(self, now: datetime) -> str:
        """How many, which, and how old."""
        least = "" if self.is_all else "at least "
        age = span((now - self.oldest_at).total_seconds())
        return f"{least}{count(len(self.ids), 'execution')} ({listed(self.ids)}; the oldest {age} old)"

    @property
    def named(self) -> str:
        """The first of them, as arguments of a command."""
        return " ".join(self.ids[:IDS_SHOWN])

    @property
    def evidence(self) -> dict[str, object]:
        """All of it, for scripts."""
        return {
            "count": len(self.ids),
            "isAll": self.is_all,
            "oldestAt": self.oldest_at.isoformat(),
            "ids": list(self.ids[:IDS_SHOWN]),
            "cause": self.cause,
        }


async def queued(facts: "Facts") -> Found:
    """Accepted, and not submitted to Temporal."""
    seen = await facts.executions()
    now = await servers_now(facts)
    rows = [row for row in seen.open if _is_queued(row, now)]
    health = (await facts.server()).health
    if not rows or health is None:
        return passed("nothing waits to be submitted")
    group = _of_rows(rows, seen, rows[0].status.dispatch.detail or "the server has not submitted them")
    words = f"{group.counted(now)} queued: {group.cause}"
    if health.temporal.state != CONNECTED:
        return warned(f"{words}; submitted by themselves once Temporal is back", WAIT, **group.evidence)
    if rows[0].status.dispatch.reason is QueueReason.TEMPORAL_BUSY:
        return because(SUBMITS)
    again = rows[0].status.dispatch.next_try_at
    if again is not None:
        return warned(f"{words}; tried again at {clock_time(again)}", WAIT, **group.evidence)
    if not is_older(health.temporal.since, now, than_s=DRAINING_S):
        return warned(f"{words}; Temporal has just come back, they are on their way", WAIT, **group.evidence)
    return failed(words, "stigmer restart server", **group.evidence)


async def orphaned(facts: "Facts") -> Found:
    """Submitted, and Temporal has no such workflow."""
    return await _drifted(facts, ORPHAN, "without a workflow in Temporal")


async def behind(facts: "Facts") -> Found:
    """Ended in Temporal, and the row does not say so."""
    return await _drifted(facts, BEHIND, "ended in Temporal, which the server has not noticed")


async def _drifted(facts: "Facts", what: str, words: str) -> Found:
    seen = await facts.executions()
    if not seen.is_judged:
        return skipped("nobody could ask Temporal about them in time")
    group = _of_drifts(seen, what, marked=_marked(seen))
    if group is None:
        least = "" if seen.is_whole else ", as far as could be looked up in a moment"
        return passed(f"none is {NAMED[what]}{least}")
    return failed(
        f"{group.counted(await servers_now(facts))} {words}: {group.cause}", f"{RECONCILE} --yes", **group.evidence
    )


async def waiting(facts: "Facts") -> Found:
    """Submitted, and no runner is there to take them up."""
    seen = await facts.executions()
    now = await servers_now(facts)
    rows = _unclaimed(seen, now, GRACE_S)
    health = (await facts.server()).health
    if not rows or health is None:
        return passed("nothing waits for a runner")
    group = _of_rows(rows, seen, "no runner asks the task queue for work")
    if health.temporal.state != CONNECTED:
        words = "submitted; whether a runner is there cannot be told while Temporal is away"
        return warned(f"{group.counted(now)} {words}", WAIT, **group.evidence)
    if await live_pollers(facts):
        return passed("a runner is there for what is submitted")
    hint = "stigmer restart runner" if facts.endpoints else "stigmer work"
    return failed(f"{group.counted(now)} submitted, and no runner is there to take them up", hint, **group.evidence)


async def late(facts: "Facts") -> Found:
    """Submitted, a runner is there, and still none has taken them up."""
    seen = await facts.executions()
    now = await servers_now(facts)
    rows = _unclaimed(seen, now, LATE_S)
    if not rows or not await live_pollers(facts):
        return passed("what is submitted is being taken up")
    rows = [row for row in rows if row.metadata.id not in seen.unjudged]
    if not rows:
        return skipped("whether Temporal has what is submitted could not be looked up in a moment")
    backlog = (await facts.temporal()).backlog
    cause = f"about {backlog} tasks wait in Temporal" if backlog else "the runners have their hands full"
    group = _of_rows(rows, seen, cause)
    return warned(f"{group.counted(now)} submitted, and starting late: {cause}", "stigmer work", **group.evidence)


async def lost(facts: "Facts") -> Found:
    """In progress when Temporal forgot them."""
    seen = await facts.executions()
    marked = [row for row in seen.open if _has_attention(row, AttentionCode.LOST)]
    found = _of_drifts(seen, LOST, marked=frozenset())
    ids = sorted({row.metadata.id for row in marked} | set(found.ids if found else ()))
    if not ids:
        return passed("none is lost")
    reason = found.cause if found else _reason(marked[0])
    group = _group(seen, ids, reason, is_all=not seen.is_cut and seen.is_whole)
    which = f"{group.named} " if len(ids) <= IDS_SHOWN else ""
    command = f"{RECONCILE} {which}--include-in-progress"
    return failed(
        f"{group.counted(await servers_now(facts))} lost in progress: {group.cause}", command, **group.evidence
    )


async def attention(facts: "Facts") -> Found:
    """Whatever else only a person can decide about."""
    seen = await facts.executions()
    others = [code for code in AttentionCode if code is not AttentionCode.LOST]
    rows = [row for row in seen.open if _has_attention(row, *others)]
    if not rows:
        return passed("none needs attention")
    group = _of_rows(rows, seen, _reason(rows[0]))
    words = f"{group.counted(await servers_now(facts))} in need of attention: {group.cause}"
    return failed(words, f"{RECONCILE} {group.named}", **group.evidence)


def _is_queued(row: "ExecutionResource", now: datetime) -> bool:
    status = row.status
    is_waiting = status.phase is Phase.PENDING and status.dispatch.state == QUEUED
    return is_waiting and status.attention is None and is_older(row.metadata.created_at, now, than_s=GRACE_S)


def _unclaimed(seen: "ExecutionsSeen", now: datetime, older_than_s: float) -> "list[ExecutionResource]":
    """What Temporal took longer ago, and no run has claimed; but for what does not agree with Temporal."""
    drifted = {one.id for one in seen.drifts}
    return [
        row
        for row in seen.open
        if row.status.phase is Phase.PENDING
        and row.status.dispatch.state == SUBMITTED
        and row.status.attention is None
        and row.metadata.id not in drifted
        and is_older(row.status.dispatch.since, now, than_s=older_than_s)
    ]


def _has_attention(row: "ExecutionResource", *codes: AttentionCode) -> bool:
    return row.status.attention is not None and row.status.attention.code in codes


def _marked(seen: "ExecutionsSeen") -> frozenset[str]:
    return frozenset(row.metadata.id for row in seen.open if row.status.attention is not None)


def _reason(row: "ExecutionResource") -> str:
    return row.status.attention.reason if row.status.attention else ""


def _of_rows(rows: "Sequence[ExecutionResource]", seen: "ExecutionsSeen", cause: str) -> Group:
    return _group(seen, [row.metadata.id for row in rows], cause, is_all=not seen.is_cut)


def _of_drifts(seen: "ExecutionsSeen", what: str, *, marked: frozenset[str]) -> Group | None:
    drifts = [one for one in seen.drifts if one.found == what and one.id not in marked]
    return _group(seen, [one.id for one in drifts], drifts[0].cause, is_all=seen.is_whole) if drifts else None


def _group(seen: "ExecutionsSeen", ids: Sequence[str], cause: str, *, is_all: bool) -> Group:
    oldest_at = next((row.metadata.created_at for row in seen.open if row.metadata.id == ids[0]), None)
    return Group(ids=ids, oldest_at=oldest_at or _born(ids[0]), cause=cause, is_all=is_all)


def _born(name: str) -> datetime:
    """When an id was made, which it says itself."""
    made_ms = 0
    for letter in name[ULID_AT : ULID_AT + TIME_CHARS]:
        made_ms = made_ms * len(CROCKFORD) + CROCKFORD.index(letter)
    return datetime.fromtimestamp(made_ms / 1000, UTC)


def execution_check(code: str, name: str, probe: Probe, explanation: str, repair: Fix | None = None) -> Check:
    """A check of this category: it judges what the server tells, and what it finds is an error."""
    return Check(
        code=code,
        name=name,
        probe=probe,
        needs=(SERVER_API,),
        timeout_s=TIMEOUT_S,
        explanation=explanation,
        repair=repair,
    )


EXECUTION_CHECKS: tuple[Check, ...] = (
    execution_check(
        "STG401",
        "queued",
        queued,
        "Accepted and safe in the store, but not submitted to Temporal for more than five seconds. While Temporal is"
        " away that is as it should be, and they are submitted by themselves when it is back. While it is there, the"
        " dispatcher of the server is stuck.",
    ),
    execution_check(
        "STG402",
        "orphans",
        orphaned,
        "This asks the server for the plan of a reconcile, which looks every open execution up in Temporal by id and"
        " writes nothing; of more than a second allows, as many of the oldest as it does, and the newest hundred. One"
        " that was submitted and has no workflow is an orphan: no run has had any effect, so it may"
        " be submitted again. The server does that by itself every minute unless STIGMER_RECONCILE=manual; `stigmer"
        " executions reconcile` does it now. Where the server cannot ask Temporal, the oldest twenty are looked up"
        " from here.",
        BRING_BACK,
    ),
    execution_check(
        "STG403",
        "waiting for a runner",
        waiting,
        "Submitted, no run has claimed them, and no runner asks the task queue for work. PENDING means that no run has"
        " had any effect yet.",
    ),
    execution_check(
        "STG404",
        "lost",
        lost,
        "They were in progress, and Temporal has no workflow for them any more. Effects may have happened, so nothing"
        " starts them over by itself. `--include-in-progress` does, with a new epoch: what the old run may still report"
        " is then refused.",
    ),
    execution_check(
        "STG405",
        "attention",
        attention,
        "Temporal refused them for good, or how they ended cannot be found out. Look at the reason with `stigmer"
        " executions get ID`; `stigmer executions reconcile ID` tries again.",
    ),
    execution_check(
        "STG406",
        "behind",
        behind,
        "Their run has ended in Temporal, and the store does not say so: the runner was killed before it could report,"
        " say, or somebody terminated the workflow in Temporal. `stigmer executions reconcile` takes the outcome over.",
        BRING_BACK,
    ),
    execution_check(
        "STG407",
        "starting late",
        late,
        "Submitted more than fifteen seconds ago, and runners are there, but none has taken them up: they have more"
        " than they can take. Each further `stigmer work` takes its share.",
    ),
)
