"""What this package needs of Temporal, as seams; the real ones live in `temporal/`."""

from collections.abc import Sequence
from typing import Protocol

from stigmer_cli.domain.identity import WorkflowName
from stigmer_cli.temporal.connection import ConnectionStatus
from stigmer_cli.temporal.gateway import Observed, Poller, Started
from stigmer_cli.temporal.pending import TaskFailure
from stigmer_cli.temporal.task_queue import QueueLimit


class TemporalLink(Protocol):
    """The connection as its users see it."""

    @property
    def generation(self) -> int:
        """How often the connection has become CONNECTED; grows by one each time."""

    def status(self) -> ConnectionStatus:
        """The state now, since when and why."""

    async def wait_connected(self) -> None:
        """Return once the connection is CONNECTED, at once if it is."""

    async def wait_generation(self, after: int) -> int:
        """Return the generation once it is greater than `after` and the connection is CONNECTED."""


class TemporalGateway(Protocol):
    """The calls to Temporal; each with a total deadline, none with a client kept from before.

    Every call raises TemporalUnavailable, or Misconfigured where the namespace or the credentials are wrong.
    """

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        """Start the workflow, or find the one that was; raises SubmitRejected or Throttled too."""

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        """What Temporal knows of the workflow; None only where Temporal proves that it has none."""

    async def result_failure(self, workflow: WorkflowName) -> str:
        """Why a closed workflow failed, as a sentence."""

    async def result(self, workflow: WorkflowName) -> str:
        """The text that a completed workflow returned; empty for any other."""

    async def cancel(self, workflow: WorkflowName) -> bool:
        """Ask the workflow to end; False where there is none open."""

    async def task_failure(self, workflow: WorkflowName) -> TaskFailure | None:
        """How the last workflow task of this epoch failed; None where it did not."""

    async def terminate(self, workflow: WorkflowName, *, reason: str) -> bool:
        """End the workflow of this epoch without asking its code; False where there is none open."""

    async def pollers(self) -> Sequence[Poller]:
        """The runners that poll the task queue for both workflows and activities."""

    async def queue_limit(self) -> QueueLimit | None:
        """The limit, set by somebody in Temporal, that lately kept activities of the task queue from starting."""
