"""What the simulated Temporal keeps: its runs, the tasks that runners hold, and the faults of a call."""

from dataclasses import dataclass, replace

from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import FailureKind
from stigmer_cli.temporal.gateway import RunState


@dataclass
class Run:
    """One workflow run, and which of its activities is on: perform or conclude."""

    run_id: str
    name: str
    execution: str
    epoch: int
    started_s: float
    state: RunState = RunState.OPEN
    closed_s: float | None = None
    failure: str = ""
    stage: str = "perform"
    attempt: int = 1
    token: int = 0
    lease_s: float | None = None
    due_s: float = 0.0
    is_cancel_requested: bool = False
    last_word: tuple[Phase, FailureKind] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attempt at an activity, as a runner gets it."""

    run: Run
    token: int
    stage: str
    attempt: int


@dataclass(kw_only=True)
class Conditions:
    """What the network and Temporal do to a call; chances from 0 to 1, delays in seconds."""

    is_up: bool = True
    is_frozen: bool = False
    has_namespace: bool = True
    is_denied: bool = False
    throttle_cpu: float = 0.0
    not_serving: float = 0.0
    lose_request: float = 0.0
    lose_reply: float = 0.0
    late: float = 0.0
    slow_s: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether a worker gets through."""
        return self.is_up and not self.is_frozen and self.has_namespace and not self.is_denied


def no_faults() -> Conditions:
    """Nothing is wrong."""
    return replace(Conditions())
