"""The states of the connection to Temporal, the only transitions between them, and what is shown of them.

    CONNECTING ──described──▶ CONNECTED ──missed probe──▶ SUSPECT ──answered──▶ CONNECTED
        │                        │                           │
        │ failed                 │ refused                   │ missed again, or refused
        ▼                        ▼                           ▼
    DISCONNECTED ◀───────────────┴───────────────────────────┘
        │  ▲                  DISCONNECTED ──described──▶ CONNECTED
        ▼  │
    MISCONFIGURED             from anywhere: namespace missing or credentials refused; slow tries, loud
                              from anywhere: STOPPED, which is never left

Only the connection changes its state; everybody else reads.
"""

from dataclasses import dataclass, field
from datetime import datetime

from stigmer_cli.api.connection import ConnectionState

_S = ConnectionState
TRANSITIONS: dict[ConnectionState, frozenset[ConnectionState]] = {
    _S.CONNECTING: frozenset({_S.CONNECTED, _S.DISCONNECTED, _S.MISCONFIGURED, _S.STOPPED}),
    _S.CONNECTED: frozenset({_S.SUSPECT, _S.DISCONNECTED, _S.MISCONFIGURED, _S.STOPPED}),
    _S.SUSPECT: frozenset({_S.CONNECTED, _S.DISCONNECTED, _S.MISCONFIGURED, _S.STOPPED}),
    _S.DISCONNECTED: frozenset({_S.CONNECTED, _S.MISCONFIGURED, _S.STOPPED}),
    _S.MISCONFIGURED: frozenset({_S.CONNECTED, _S.DISCONNECTED, _S.STOPPED}),
    _S.STOPPED: frozenset(),
}
HAS_CLIENT = frozenset({_S.CONNECTED, _S.SUSPECT})
"""Where calls may go out. One slow answer is no reason to stop (SUSPECT), but only CONNECTED is healthy."""


@dataclass(frozen=True)
class Change:
    """One transition of the connection; `cause` is never empty except for the first connect."""

    at: datetime
    before: ConnectionState
    after: ConnectionState
    cause: str


@dataclass(frozen=True)
class ClusterIdentity:
    """Which Temporal answers behind the address; another one has another memory.

    `retention_s` is how long its namespace keeps closed workflows; it may change, and it is still the same Temporal.
    """

    cluster_id: str
    namespace_id: str
    retention_s: int | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Both ids as one word."""
        return f"{self.cluster_id}/{self.namespace_id}"


@dataclass(frozen=True, kw_only=True)
class ConnectionStatus:
    """What is known now. `cause` is empty when CONNECTED; `attempt` counts failed dials since the last success.

    `reconnects` counts dials that succeeded after the first; `cluster_changes` how often another Temporal than before
    answered. `history` holds the last transitions, newest last. `retention_s` is as it was when the client was dialled.
    `since` and `next_try_at` are by the clock as it is set at `now`, when this was asked.
    """

    state: ConnectionState
    address: str
    namespace: str
    since: datetime
    cause: str
    attempt: int
    next_try_at: datetime | None
    reconnects: int
    cluster_id: str | None
    namespace_id: str | None
    history: tuple[Change, ...]
    cluster_changes: int = 0
    retention_s: int | None = None
    now: datetime | None = None

    @property
    def cluster(self) -> str | None:
        """Which Temporal it is, or was last; None before the first. Another one knows nothing of what this one took."""
        return f"{self.cluster_id or ''}/{self.namespace_id}" if self.namespace_id else None

    @property
    def is_connected(self) -> bool:
        """Whether the state is CONNECTED."""
        return self.state is ConnectionState.CONNECTED
