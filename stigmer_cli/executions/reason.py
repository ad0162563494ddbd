"""Why a pending execution waits, read from the connection and the pollers at the moment somebody looks."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SKEW_MAX, iso
from stigmer_cli.domain.execution import NEXT_TRY_MAX_S, Execution, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.executions.pollers import Polling
from stigmer_cli.temporal.connection import ConnectionStatus

REASONS: dict[ConnectionState, QueueReason | None] = {
    ConnectionState.CONNECTING: QueueReason.TEMPORAL_CONNECTING,
    ConnectionState.CONNECTED: None,
    ConnectionState.SUSPECT: QueueReason.TEMPORAL_UNREACHABLE,
    ConnectionState.DISCONNECTED: QueueReason.TEMPORAL_UNREACHABLE,
    ConnectionState.MISCONFIGURED: QueueReason.TEMPORAL_MISCONFIGURED,
    ConnectionState.STOPPED: QueueReason.TEMPORAL_UNREACHABLE,
}
WORDS: dict[QueueReason, str] = {
    QueueReason.TEMPORAL_CONNECTING: "connecting to Temporal",
    QueueReason.TEMPORAL_UNREACHABLE: "Temporal unreachable",
    QueueReason.TEMPORAL_MISCONFIGURED: "Temporal cannot be used",
}


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Why nothing is submitted just now, since when, and when the connection is tried again."""

    reason: QueueReason
    detail: str
    since: datetime
    next_try_at: datetime | None


def find_hold(status: ConnectionStatus) -> Hold | None:
    """What keeps every execution from being submitted, or None where nothing does."""
    reason = REASONS[status.state]
    if reason is None:
        return None
    cause = f" ({status.cause})" if status.cause else ""
    detail = f"{WORDS[reason]} at {status.address} since {iso(status.since)}{cause}"
    return Hold(reason=reason, detail=detail, since=status.since, next_try_at=status.next_try_at)


def explain_wait(execution: Execution, status: ConnectionStatus, polling: Polling | None = None) -> Execution:
    """`execution` with what it waits for now in place of what it waited for when its row was written."""
    if execution.phase is not Phase.PENDING:
        return execution
    return _limit_to_now(_explain_wait(execution, status, polling), status.now)


def _explain_wait(execution: Execution, status: ConnectionStatus, polling: Polling | None) -> Execution:
    if execution.dispatch.is_submitted:
        return _explain_unclaimed(execution, status, polling)
    now = find_hold(status) if execution.attention is None else None
    if now is None:
        return execution
    since = max(now.since, execution.created_at)
    dispatch = replace(
        execution.dispatch, reason=now.reason, detail=now.detail, since=since, next_try_at=now.next_try_at
    )
    return replace(execution, dispatch=dispatch)


def _limit_to_now(execution: Execution, now: datetime | None) -> Execution:
    """What was written while a clock ran ahead began by now at the latest, and is tried again within its delay."""
    dispatch = execution.dispatch
    if now is None or max(dispatch.since, dispatch.next_try_at or dispatch.since) <= now:
        return execution
    next_try_at = dispatch.next_try_at
    if next_try_at is not None and next_try_at > now + timedelta(seconds=NEXT_TRY_MAX_S) + SKEW_MAX:
        next_try_at = now
    return replace(execution, dispatch=replace(dispatch, since=min(dispatch.since, now), next_try_at=next_try_at))


def _explain_unclaimed(execution: Execution, status: ConnectionStatus, polling: Polling | None) -> Execution:
    """What an execution waits for that Temporal has taken and no run has claimed: Temporal, a runner, or its start."""
    held = find_hold(status)
    if held is not None:
        reason, detail = held.reason, held.detail
    elif polling is not None and polling.full:
        reason, detail = QueueReason.STARTING, f"no run has claimed it yet: {polling.full}"
    elif polling is not None and polling.is_empty:
        reason, detail = QueueReason.WAITING_FOR_RUNNER, "no runner polls the task queue"
    else:
        reason, detail = QueueReason.STARTING, "no run has claimed it yet"
    since = execution.dispatch.submitted_at or execution.dispatch.since
    dispatch = replace(execution.dispatch, reason=reason, detail=detail, since=since, next_try_at=None)
    return replace(execution, dispatch=dispatch)


def refuse_while_unavailable(status: ConnectionStatus, now: datetime) -> TemporalUnavailable | None:
    """The refusal of `fail-fast`, with when to try again; None while Temporal can be used."""
    held = find_hold(status)
    if held is None:
        return None
    retry_after_s = max(1.0, (held.next_try_at - now).total_seconds()) if held.next_try_at else 1.0
    return TemporalUnavailable(
        f"{held.detail}; nothing was written", hint="stigmer doctor", retry_after_s=retry_after_s
    )
