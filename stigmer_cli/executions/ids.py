"""New ids: three letters of kind and a ULID that grows with every one made in this process."""

import random
import threading

from ulid import ULID

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import (
    AGENT_PREFIX,
    PREFIXES,
    SERVER_PREFIX,
    WORKFLOW_PREFIX,
    AgentId,
    ExecutionId,
    Kind,
    ServerId,
    WorkflowDefinitionId,
)

RANDOM_BITS = 80
"""Of the 128 bits of a ULID, below the 48 of its milliseconds (the ULID specification)."""


class IdGenerator:
    """Makes ids that sort by the time they were made, also when the wall clock jumps back."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._last = 0
        self._lock = threading.Lock()

    def execution_id(self, kind: Kind) -> ExecutionId:
        """A new execution id of `kind`: `aex-` or `wex-` and 26 characters."""
        return ExecutionId(f"{PREFIXES[kind]}-{self._ulid()}")

    def agent_id(self) -> AgentId:
        """A new agent id: `agt-` and 26 characters."""
        return AgentId(f"{AGENT_PREFIX}-{self._ulid()}")

    def workflow_id(self) -> WorkflowDefinitionId:
        """A new id of a workflow definition: `wfl-` and 26 characters."""
        return WorkflowDefinitionId(AgentId(f"{WORKFLOW_PREFIX}-{self._ulid()}"))

    def server_id(self) -> ServerId:
        """A new server id: `srv-` and 26 characters."""
        return ServerId(f"{SERVER_PREFIX}-{self._ulid()}")

    def _ulid(self) -> str:
        with self._lock:
            milliseconds = int(self._clock.now().timestamp() * 1000)
            drawn = (milliseconds << RANDOM_BITS) | self._rng.getrandbits(RANDOM_BITS)
            self._last = max(drawn, self._last + 1)
            return str(ULID(self._last.to_bytes(16, "big"))).lower()
