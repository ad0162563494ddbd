"""Whether the runner may poll a task queue: a server of its store answers, and both use the same Temporal.

The gate is open for the queues that the server names. A worker that is on is not retired at once where the two do not
agree on their Temporal: one of them may only not have noticed yet that Temporal was started again.
"""

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.identity import Identity
from stigmer_cli.clock import Clock
from stigmer_cli.runner.server_link import ServerLink
from stigmer_cli.temporal.connection import Connection, ConnectionStatus

MISMATCH_MAX_S = 6.0
"""Both probe their Temporal at least that often: every 5 s, where it is on another machine, and within 1 s."""

MISMATCHED = "mismatched"


class PollGate:
    """Judges link and connection together; `changes` counts what may have opened or closed it."""

    def __init__(self, link: ServerLink, connection: Connection, *, clock: Clock) -> None:
        self._link = link
        self._connection = connection
        self._clock = clock
        self._mismatched_at: float | None = None

    @property
    def changes(self) -> int:
        """How often the link has moved."""
        return self._link.changes

    async def wait_changed(self, after: int) -> None:
        """Return once the link has moved more than `after` times."""
        await self._link.wait_changed(after)

    @property
    def mismatch(self) -> str:
        """Why the Temporal of this runner is not its server's, as a sentence; empty where it is, or nobody knows."""
        server = self._link.status.server
        found = mismatch_of(server, self._connection.status()) if server and self._link.status.is_served else ""
        if not found:
            self._mismatched_at = None
        elif self._mismatched_at is None:
            self._mismatched_at = self._clock.monotonic()
        return found

    def why_shut(self, task_queue: str) -> str:
        """Why no worker may begin at `task_queue`; empty where one may."""
        return self._without_server(task_queue) or self.mismatch

    def why_closed(self, task_queue: str) -> str:
        """Why a worker that is on at `task_queue` has to be retired; empty where it may continue."""
        without = self._without_server(task_queue)
        if without:
            return without
        found = self.mismatch
        return found if found and self._mismatched_s() > MISMATCH_MAX_S else ""

    def closed_s(self, task_queue: str) -> float:
        """For how many seconds what was taken up from `task_queue` could not be reported; 0.0 where it can be."""
        if self._link.status.is_served and task_queue not in self._link.task_queues:
            return float("inf")  # the server is of another store, and will never take the reports
        return self._link.silent_s

    def _without_server(self, task_queue: str) -> str:
        status = self._link.status
        if not status.is_served:
            return status.cause or "no server has answered yet"
        if task_queue not in self._link.task_queues:
            return f"the server has no task queue {task_queue}: it is of another store, or needs it no more"
        return ""

    def _mismatched_s(self) -> float:
        since = self._mismatched_at
        return 0.0 if since is None else self._clock.monotonic() - since


def mismatch_of(server: Identity, own: ConnectionStatus) -> str:
    """Why the runner's connection leads to another Temporal than the server's; empty where it does not, or one is away.

    An id that a Temporal does not tell (to those who may not ask) proves nothing.
    """
    if own.state is not ConnectionState.CONNECTED:
        return ""
    if own.namespace != server.namespace:
        return (
            f"this runner works in the namespace {own.namespace}, its server in {server.namespace}: "
            "set STIGMER_TEMPORAL_NAMESPACE"
        )
    pairs = ((own.cluster_id, server.temporal_cluster_id), (own.namespace_id, server.temporal_namespace_id))
    if any(ours and theirs and ours != theirs for ours, theirs in pairs):
        return f"the Temporal at {own.address} is not the one of this runner's server: set STIGMER_TEMPORAL_ADDRESS"
    return ""
