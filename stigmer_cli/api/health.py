"""Every part of the stack as the server sees it."""

from enum import StrEnum

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.wire import Moment, Sent


class HealthState(StrEnum):
    """`ready`: an execution sent now runs; `degraded`: it is accepted, and `reasons` say what it will wait for."""

    READY = "ready"
    DEGRADED = "degraded"


class ChangeBody(Sent):
    """One change of the connection's state."""

    at: Moment
    before: ConnectionState | str
    after: ConnectionState | str
    cause: str


class TemporalHealth(Sent):
    """The server's own connection to Temporal; `cause` is empty while connected.

    `refusal` is the code of the error for which the server refuses this Temporal; empty where it does not.
    """

    state: ConnectionState | str
    address: str
    namespace: str
    since: Moment
    cause: str = ""
    refusal: str = ""
    attempt: int = 0
    next_try_at: Moment | None = None
    reconnects: int = 0
    cluster_id: str | None = None
    namespace_id: str | None = None
    memory_lost_at: Moment | None = None
    history: list[ChangeBody] = []


class LoopHealth(Sent):
    """The server's event loop; for how long it last stood still, and when it turned again. None: it never did."""

    last_blocked_s: float | None = None
    last_blocked_at: Moment | None = None


class ClockHealth(Sent):
    """The clocks that the server knows, and how its own last jumped against the monotonic one. None: it never did.

    `now` is by the clock that rows are written by: the server's own, or the database's where that is shared; the
    server's own is `own_ahead_s` ahead of it. `set_s` is by how much that was set (negative: back), `slept_s` for how
    long the machine was suspended, `jumped_ago_s` how long ago that was noticed. `temporal_ahead_s` is how far
    Temporal's clock is ahead of the server's own, to about a second; None where no runner has polled since it looks.
    """

    now: Moment | None = None
    own_ahead_s: float = 0.0
    set_s: float | None = None
    slept_s: float | None = None
    jumped_ago_s: float | None = None
    temporal_ahead_s: float | None = None


class PollerBody(Sent):
    """A runner that Temporal has seen asking for work: last at `last_access_at` by Temporal's clock, `silent_s` ago.

    Those seconds are measured by the server; nobody needs to compare that moment with a clock of their own.
    """

    identity: str
    last_access_at: Moment
    silent_s: float = 0.0


class TaskQueueHealth(Sent):
    """The task queue that runners poll; `pollers` is what Temporal said at `checked_at`."""

    name: str
    pollers: list[PollerBody] = []
    checked_at: Moment | None = None


class StoreHealth(Sent):
    """The database; `error` is empty while it answers."""

    id: str = ""
    kind: str
    revision: str = ""
    error: str = ""


class ServerBody(Sent):
    """A server that shares the store; `temporal` is the address of its Temporal, `world` its ids, None without any."""

    id: str
    version: str
    host: str
    pid: int
    temporal: str
    world: str | None = None


class ExecutionsHealth(Sent):
    """How many executions are in which phase, and the age of the oldest one that waits."""

    phases: dict[str, int] = {}
    queued: int = 0
    oldest_pending_age_s: float | None = None


class Health(Sent):
    """`GET /v1/health`."""

    state: HealthState
    reasons: list[str] = []
    version: str
    pid: int
    started_at: Moment
    submit_policy: str
    reconcile: str
    loop: LoopHealth = LoopHealth()
    clock: ClockHealth = ClockHealth()
    temporal: TemporalHealth
    task_queue: TaskQueueHealth
    store: StoreHealth
    servers: list[ServerBody] = []
    executions: ExecutionsHealth


class Readiness(Sent):
    """`GET /readyz`: whether the server accepts executions; Temporal's absence does not change that."""

    ready: bool
    reasons: list[str] = []
