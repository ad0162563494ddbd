"""Checks of category Executions: what is stuck, by the reason why, with ids and the command that mends it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from stigmer_cli.doctor.check import Category, Check, Found, Severity, failed, passed, warned
from stigmer_cli.doctor.words import IDS_SHOWN, count, listed, span
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.phase import Phase

if TYPE_CHECKING:
    from stigmer_cli.api.resources import ExecutionResource
    from stigmer_cli.doctor.facts import Facts

GRACE_S = 5.0
"""Younger than this, an execution is on its way and not stuck."""

LATE_S = 15.0
SERVER_API = "STG108"
TIMEOUT_S = 2.0
QUEUED, SUBMITTED = "queued", "submitted"
CONNECTED = "CONNECTED"
GONE, OPEN = "gone", "open"
RECONCILE = "stigmer executions reconcile"

Rows = Sequence["ExecutionResource"]


async def queued(facts: "Facts") -> Found:
    """Accepted, and not submitted to Temporal."""
    rows = await _chosen(facts, _is_queued)
    if not rows:
        return passed("nothing waits to be submitted")
    cause = rows[0].status.dispatch.detail or "the server has not submitted them"
    words = f"{_counted(rows, facts)} queued: {cause}"
    health = (await facts.server()).health
    if health is not None and health.temporal.state != CONNECTED:
        return warned(
            f"{words}; submitted by themselves once Temporal is back", "stigmer doctor --wait=30", **_of(rows)
        )
    return failed(words, "stigmer restart server", **_of(rows))


async def orphaned(facts: "Facts") -> Found:
    """Submitted, and Temporal has no such workflow, or one that has ended."""
    seen = await facts.executions()
    rows = await _chosen(facts, lambda item, _: seen.in_temporal.get(item.metadata.id, OPEN) != OPEN)
    if not rows:
        return passed("Temporal knows every execution that was looked up", lookedUp=len(seen.in_temporal))
    gone = [row for row in rows if seen.in_temporal[row.metadata.id] == GONE]
    how = "without a workflow in Temporal" if gone else "ended in Temporal, which the server has not noticed"
    return failed(f"{_counted(gone or rows, facts)} {how}", f"{RECONCILE} --yes", **_of(gone or rows))


async def waiting(facts: "Facts") -> Found:
    """Submitted, and no runner has taken them up."""
    rows = await _chosen(facts, _is_unclaimed)
    seen = await facts.executions()
    rows = [row for row in rows if seen.in_temporal.get(row.metadata.id, OPEN) == OPEN]
    health = (await facts.server()).health
    if not rows or health is None:
        return passed("nothing waits for a runner")
    if health.temporal.state != CONNECTED:
        words = "submitted; whether a runner is there cannot be told while Temporal is away"
        return warned(f"{_counted(rows, facts)} {words}", "stigmer doctor --wait=30", **_of(rows))
    if any("no runner polls" in reason for reason in health.reasons) or not await _has_runner(facts):
        hint = "stigmer restart runner" if facts.endpoints else "stigmer work"
        return failed(f"{_counted(rows, facts)} submitted, and no runner is there to take them up", hint, **_of(rows))
    late = [row for row in rows if _age_s(row, facts.clock.now()) > LATE_S]
    if late:
        return warned(f"{_counted(late, facts)} submitted, and starting late", "stigmer work", **_of(late))
    return passed("what is submitted is being taken up")


async def lost(facts: "Facts") -> Found:
    """In progress when Temporal forgot them."""
    rows = await _chosen(facts, _has_attention(AttentionCode.LOST))
    if not rows:
        return passed("none is lost")
    command = f"{RECONCILE} {_ids(rows)} --include-in-progress"
    reason = _reason(rows[0])
    return failed(f"{_counted(rows, facts)} lost in progress: {reason}", command, **_of(rows))


async def attention(facts: "Facts") -> Found:
    """Whatever else only a person can decide about."""
    others = [code for code in AttentionCode if code is not AttentionCode.LOST]
    rows = await _chosen(facts, _has_attention(*others))
    if not rows:
        return passed("none needs attention")
    return failed(
        f"{_counted(rows, facts)} in need of attention: {_reason(rows[0])}", f"{RECONCILE} {_ids(rows)}", **_of(rows)
    )


async def _has_runner(facts: "Facts") -> bool:
    health = (await facts.server()).health
    return health is not None and bool(health.task_queue.pollers)


async def _chosen(
    facts: "Facts", is_wanted: "Callable[[ExecutionResource, datetime], bool]"
) -> "list[ExecutionResource]":
    now = facts.clock.now()
    return [item for item in (await facts.executions()).open if is_wanted(item, now)]


def _is_queued(item: "ExecutionResource", now: datetime) -> bool:
    status = item.status
    is_waiting = status.phase is Phase.PENDING and status.dispatch.state == QUEUED
    return is_waiting and status.attention is None and _age_s(item, now) > GRACE_S


def _is_unclaimed(item: "ExecutionResource", now: datetime) -> bool:
    status = item.status
    is_waiting = status.phase is Phase.PENDING and status.dispatch.state == SUBMITTED
    return is_waiting and status.attention is None and _age_s(item, now) > GRACE_S


def _has_attention(*codes: AttentionCode) -> "Callable[[ExecutionResource, datetime], bool]":
    def has(item: "ExecutionResource", _now: datetime) -> bool:
        return item.status.attention is not None and item.status.attention.code in codes

    return has


def _age_s(item: "ExecutionResource", now: datetime) -> float:
    return (now - item.metadata.created_at).total_seconds()


def _reason(item: "ExecutionResource") -> str:
    return item.status.attention.reason if item.status.attention else ""


def _counted(rows: Rows, facts: "Facts") -> str:
    age = span(_age_s(rows[0], facts.clock.now()))
    ids = listed([row.metadata.id for row in rows])
    return f"{count(len(rows), 'execution')} ({ids}; the oldest {age} old)"


def _ids(rows: Rows) -> str:
    return " ".join(row.metadata.id for row in rows[:IDS_SHOWN])


def _of(rows: Rows) -> dict[str, object]:
    return {
        "count": len(rows),
        "oldestAt": rows[0].metadata.created_at.isoformat(),
        "ids": [row.metadata.id for row in rows[:IDS_SHOWN]],
    }


def _check(code: str, name: str, look: Callable[["Facts"], object], explanation: str) -> Check:
    return Check(
        code=code,
        category=Category.EXECUTIONS,
        name=name,
        severity=Severity.ERROR,
        look=look,  # type: ignore[arg-type] # every look above is what a check takes
        needs=(SERVER_API,),
        timeout_s=TIMEOUT_S,
        explanation=explanation,
    )


EXECUTION_CHECKS: tuple[Check, ...] = (
    _check(
        "STG401",
        "queued",
        queued,
        "Accepted and safe in the store, but not submitted to Temporal for more than five seconds. While Temporal is"
        " away that is as it should be, and they are submitted by themselves when it is back. While it is there, the"
        " dispatcher of the server is stuck.",
    ),
    _check(
        "STG402",
        "orphans",
        orphaned,
        "The oldest twenty that were submitted are looked up in Temporal by id. One without a workflow is an orphan;"
        " one whose workflow has ended is behind. The server mends both by itself every minute unless"
        " STIGMER_RECONCILE=manual; `stigmer executions reconcile` does it now.",
    ),
    _check(
        "STG403",
        "waiting for a runner",
        waiting,
        "Submitted, and no run has claimed them. Either no runner asks the task queue for work, or those that do have"
        " more than they can take. PENDING means that no run has had any effect yet.",
    ),
    _check(
        "STG404",
        "lost",
        lost,
        "They were in progress, and Temporal has no workflow for them any more. Effects may have happened, so nothing"
        " starts them over by itself. `--include-in-progress` does, with a new epoch: what the old run may still report"
        " is then refused.",
    ),
    _check(
        "STG405",
        "attention",
        attention,
        "Temporal refused them for good, or how they ended cannot be found out. Look at the reason with `stigmer"
        " executions get ID`; `stigmer executions reconcile ID` tries again.",
    ),
)
