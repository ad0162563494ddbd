"""Safety at every step: a look at the row after each commit that wrote about it, and what must never be true."""

import json
from dataclasses import dataclass, field

from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId, Kind, WorkflowName
from stigmer_cli.domain.phase import Phase
from tests.simulation.runner import Ledger
from tests.simulation.store import Memory
from tests.simulation.temporal import SimTemporal
from tests.support.ids import STORE
from tests.support.moves import may_move

ROW = "SELECT phase, epoch, version, kind FROM executions WHERE id = ?"
LAST = "SELECT type, data FROM events WHERE execution_id = ? ORDER BY seq DESC LIMIT 1"


class Violation(AssertionError):
    """Something that must never be true."""


@dataclass(frozen=True)
class RowSnapshot:
    """A row as it was after some commit."""

    phase: Phase
    epoch: int
    version: int


@dataclass
class Watcher:
    """Keeps every violation that it sees; the judge reads them in the end."""

    memory: Memory
    temporal: SimTemporal
    ledger: Ledger
    seen: dict[str, RowSnapshot] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def look(self, execution: ExecutionId) -> None:
        """Safety, now."""
        row = self.memory.row(ROW, execution)
        if row is None:  # listeners are also told of a commit that failed
            if execution in self.seen:
                self._wrong(f"{execution} is gone")
            return
        now = RowSnapshot(phase=Phase(row[0]), epoch=row[1], version=row[2])
        before = self.seen.get(execution)
        self.seen[execution] = now
        if before is not None:
            self._compare(execution, before, now)
        runs = self.ledger.runs_of(execution, now.epoch)
        if now.phase is Phase.PENDING and runs:
            self._wrong(f"{execution} is PENDING, and a run had effects in epoch {now.epoch}")
        if len(runs) > 1:
            self._wrong(f"I1: two runs had effects in epoch {now.epoch} of {execution}")
        self._check_orphan(execution, Kind(row[3]), now)

    def _check_orphan(self, execution: ExecutionId, kind: Kind, now: RowSnapshot) -> None:
        last = self.memory.row(LAST, execution)
        if last is None or last[0] != EventType.ORPHANED:
            return
        begun = json.loads(last[1]).get("epoch")  # where a run of the epoch before ended without a claim
        name = WorkflowName(kind=kind, execution=execution, epoch=begun - 1 if begun else now.epoch, store=STORE).id
        if name not in self.temporal.forgotten:
            self._wrong(f"I6: {execution} was submitted again though Temporal never forgot it")

    def _compare(self, execution: str, before: RowSnapshot, now: RowSnapshot) -> None:
        if now.version < before.version or now.epoch < before.epoch:
            self._wrong(f"{execution} went back: {before} to {now}")
        if now.phase is not before.phase and not may_move(before.phase, now.phase):
            self._wrong(f"{execution} moved from {before.phase} to {now.phase}")
        if before.phase is Phase.IN_PROGRESS and now.phase is Phase.PENDING and now.epoch == before.epoch:
            self._wrong(f"{execution} went back to PENDING in the same epoch")

    def _wrong(self, what: str) -> None:
        self.violations.append(what)
