"""Every part of the stack as the server sees it."""

from enum import StrEnum

from pydantic import Field

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.wire import Moment, Sent


class HealthState(StrEnum):
    """`ready`: an execution sent now runs; `degraded`: it is accepted, and `reasons` say what it waits for.

    `busy`: everything works, and there is more to write than the store takes; what people send may be refused.
    """

    READY = "ready"
    BUSY = "busy"
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
    """How long the server's event loop was last blocked, and when that ended; None if it never was."""

    last_blocked_s: float | None = None
    last_blocked_at: Moment | None = None


class LoadHealth(Sent):
    """How many writes wait for the store, for how long the next would wait, and how many requests were refused.

    `busy` while what people send is refused with 503, and for ten seconds after the last one. `claimed_after_s`: how
    long executions that runners claimed just now had waited; None where none was claimed.
    """

    busy: bool = False
    waiting: int = 0
    wait_s: float = 0.0
    refused: int = 0
    claimed_after_s: float | None = None


class ClockHealth(Sent):
    """The clocks that the server knows, and the last jump of its own clock; None if it never jumped.

    `now` is read from the clock that rows are written by: the server's own, or the database's if servers share it.
    The server's own clock is `own_ahead_s` ahead of `now`. The last jump set it by `set_s` (negative: back), after the
    machine was suspended for `slept_s`, and was noticed `jumped_ago_s` ago. `temporal_ahead_s` is how far Temporal's
    clock is ahead of the server's own, to some seconds; None if no runner has polled since the server started.
    """

    now: Moment | None = None
    own_ahead_s: float = 0.0
    set_s: float | None = None
    slept_s: float | None = None
    jumped_ago_s: float | None = None
    temporal_ahead_s: float | None = None


class PollerBody(Sent):
    """A runner that Temporal has seen asking for work: last at `last_access_at` by Temporal's clock, `silent_s` ago.

    The server measures `silent_s`, so that a client need not compare `last_access_at` with a clock of its own.
    `is_gone`: it reported to the server, and does so no more, so that it does not poll; older servers do not say.
    """

    identity: str
    last_access_at: Moment
    silent_s: float = 0.0
    is_gone: bool = False


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
    loop: LoopHealth = Field(default_factory=LoopHealth)
    load: LoadHealth = Field(default_factory=LoadHealth)
    clock: ClockHealth = Field(default_factory=ClockHealth)
    temporal: TemporalHealth
    task_queue: TaskQueueHealth
    store: StoreHealth
    servers: list[ServerBody] = []
    executions: ExecutionsHealth


class Readiness(Sent):
    """`GET /readyz`: whether the server accepts executions; Temporal's absence does not change that."""

    ready: bool
    reasons: list[str] = []
