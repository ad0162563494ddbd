"""What the server says of itself and of what it sees of the other parts."""

from os import getpid

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.health import (
    ChangeBody,
    ClockHealth,
    ExecutionsHealth,
    Health,
    HealthState,
    LoadHealth,
    LoopHealth,
    PollerBody,
    Readiness,
    ServerBody,
    StoreHealth,
    TaskQueueHealth,
    TemporalHealth,
)
from stigmer_cli.clock import iso
from stigmer_cli.domain.identity import task_queue_of
from stigmer_cli.errors import OtherTemporal, StigmerError
from stigmer_cli.executions.reason import find_hold
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.server.services import Services
from stigmer_cli.store.servers import SeenServer


async def describe_readiness(called: Services, *, is_known: bool) -> Readiness:
    """Whether an execution would be accepted now; Temporal's absence does not change that.

    A row is written for it, at most once a second. Reasons are for those who show the token: `is_known`.
    """
    why_not = await called.ready.why_not()
    return Readiness(ready=not why_not, reasons=[why_not] if why_not and is_known else [])


async def describe_health(called: Services) -> Health:
    """Every part as the server sees it."""
    error = await find_store_error(called)
    unwritten = "" if error or called.ready.is_stopping else await called.ready.why_not()
    reasons = [text for text in (error, unwritten) if text]
    held = find_hold(called.link.status())
    if held:
        reasons.append(held.detail)
    strain = called.dispatcher.strain
    if strain and not held:
        reasons.append(f"Temporal answers, but submits have been failing since {iso(strain.since)} ({strain.cause})")
    held_up = called.outages.describe() if not error else []
    reasons.extend(held_up)
    if called.loop.complaint:
        reasons.append(called.loop.complaint)
    queue = _task_queue(called)
    if not held and not called.pollers.polling.live:
        reasons.append(f"no runner polls the task queue {queue.name!r}")
    load, admission = called.store.load, called.admission.load
    busy = [one.words for one in (admission, load) if one.is_busy]
    state = HealthState.DEGRADED if reasons else HealthState.BUSY if busy else HealthState.READY
    return Health(
        state=state,
        reasons=[*reasons, *busy],
        version=RUNNING_VERSION,
        pid=getpid(),
        started_at=called.started_at,
        submit_policy=called.settings.submit_policy,
        reconcile=called.settings.reconcile,
        loop=_loop(called),
        load=LoadHealth(
            busy=bool(busy),
            waiting=load.waiting,
            wait_s=round(load.wait_s, 3),
            refused=load.refused + admission.refused,
            claimed_after_s=None if admission.waited_s is None else round(admission.waited_s, 3),
        ),
        clock=_clock(called),
        temporal=_temporal(called),
        task_queue=queue,
        store=StoreHealth(
            id=called.store.id,
            kind=called.store.kind,
            revision="" if error else await called.store.schema_revision(),
            error=error or unwritten or "; ".join(held_up),
        ),
        servers=[_server(one) for one in called.registry.servers],
        executions=await _executions(called) if not error else ExecutionsHealth(),
    )


async def find_store_error(called: Services) -> str:
    """Why the store cannot be used; empty where it can be."""
    try:
        await called.store.check()
    except StigmerError as error:
        return error.message
    return ""


def _server(seen: SeenServer) -> ServerBody:
    record = seen.record
    return ServerBody(
        id=record.id,
        version=record.version,
        host=record.host,
        pid=record.pid,
        temporal=record.address,
        world=seen.cluster,
    )


def _temporal(called: Services) -> TemporalHealth:
    status = called.link.status()
    return TemporalHealth(
        state=status.state,
        address=status.address,
        namespace=status.namespace,
        since=status.since,
        cause=status.cause,
        refusal=_refusal(called),
        attempt=status.attempt,
        next_try_at=status.next_try_at,
        reconnects=status.reconnects,
        cluster_id=status.cluster_id,
        namespace_id=status.namespace_id,
        memory_lost_at=called.cluster.memory_lost_at,
        history=[
            ChangeBody(at=change.at, before=change.before, after=change.after, cause=change.cause)
            for change in status.history
        ],
    )


def _refusal(called: Services) -> str:
    is_refused = called.link.status().state is ConnectionState.MISCONFIGURED and called.registry.is_refusing
    return OtherTemporal.code if is_refused else ""


def _task_queue(called: Services) -> TaskQueueHealth:
    polling = called.pollers.polling
    return TaskQueueHealth(
        name=task_queue_of(called.store.id),
        pollers=[
            PollerBody(
                identity=one.identity, last_access_at=one.last_access_at, silent_s=one.silent_s, is_gone=one.is_gone
            )
            for one in polling.pollers
        ],
        checked_at=polling.checked_at,
    )


def _loop(called: Services) -> LoopHealth:
    last = called.loop.last
    return LoopHealth(last_blocked_s=last.seconds if last else None, last_blocked_at=last.ended_at if last else None)


def _clock(called: Services) -> ClockHealth:
    now, own, jump = called.clock.now(), called.clock_watch.now(), called.clock_watch.last
    temporal_now = called.pollers.estimate_temporal_now()
    return ClockHealth(
        now=now,
        own_ahead_s=(own - now).total_seconds() if called.store.is_shared else 0.0,
        set_s=jump.by_s if jump else None,
        slept_s=jump.slept_s if jump else None,
        jumped_ago_s=called.clock.monotonic() - jump.at_s if jump else None,
        temporal_ahead_s=(temporal_now - own).total_seconds() if temporal_now else None,
    )


async def _executions(called: Services) -> ExecutionsHealth:
    counts = await called.store.executions.count_by_phase()
    phases: dict[str, int] = {}
    for (phase, _kind), number in counts.items():
        phases[phase] = phases.get(phase, 0) + number
    return ExecutionsHealth(
        phases=phases,
        queued=await called.store.executions.queued_count(),
        oldest_pending_age_s=await find_oldest_age_s(called),
    )


async def find_oldest_age_s(called: Services) -> float | None:
    """How many seconds ago the oldest PENDING execution was accepted."""
    oldest = await called.store.executions.oldest_pending_at()
    return None if oldest is None else max(0.0, (called.clock.now() - oldest).total_seconds())
