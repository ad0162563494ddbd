"""The runner of a chaos run: `stigmer work` with models that record each performance in the ledger.

The ledger is the record of effects, the fourth source that the judge compares: one line when a performance begins, with
its execution, epoch, run and attempt. The model `poison` kills its runner each time. A parked runner begins with a
worker that never polls.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from temporalio import activity

from stigmer_cli import log
from stigmer_cli.api.reports import Work
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind
from stigmer_cli.domain.model_name import SCRIPT
from stigmer_cli.runner import worker, worker_pool
from stigmer_cli.runner.activities import Activities
from stigmer_cli.runner.managed_worker import ManagedWorker, build_worker
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.script_file import ScriptTurn
from stigmer_cli.runner.model.seam import Model
from stigmer_cli.settings import load
from stigmer_cli.temporal.dial import Session
from tests.chaos.ledger import Line
from tests.chaos.workload import POISON

LEDGER = "CHAOS_LEDGER"
PARKED = "CHAOS_PARKED"

NAME_ROOT = WORKFLOW_TYPES[Kind.AGENT].removeprefix("stigmer") + "/"
"""What precedes the execution in a workflow's id, after the store's id if there is one."""

KILLED = 137


class RecordingModel:
    """A model whose performances are recorded before their first word; without an inner model, it kills the process."""

    def __init__(self, model: Model | None, ledger: Path) -> None:
        self._model = model
        self._ledger = ledger

    async def stream(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        """The answer of the inner model."""
        write_line(self._ledger)
        if self._model is None:
            os._exit(KILLED)
        async for text in self._model.stream(work):
            yield text


class RecordingScript(ScriptedModel):
    """A script each of whose turns is recorded before it is played."""

    def __init__(self, path: Path, ledger: Path) -> None:
        super().__init__(path, clock=SystemClock())
        self._ledger = ledger

    async def play(self, number: int) -> ScriptTurn:
        """The turn."""
        write_line(self._ledger, turn=number)
        return await super().play(number)


def write_line(ledger: Path, *, turn: int = 0) -> None:
    """Record that the present activity performs now."""
    info = activity.info()
    _, _, name = (info.workflow_id or "").partition(NAME_ROOT)
    execution, _, epoch = name.partition("/")
    line = Line(
        execution=execution,
        epoch=int(epoch or 1),
        run=info.workflow_run_id or "",
        attempt=info.attempt,
        at_s=time.time(),
        turn=turn,
    )
    with ledger.open("ab", buffering=0) as file:
        file.write(line.to_bytes())  # O_APPEND and one write: lines of two runners never mix


class RecordingCatalog(Catalog):
    """The product's models, each with a record of its performances, and `poison`."""

    def __call__(self, name: str) -> Model:
        ledger = Path(os.environ[LEDGER])
        if name.startswith(SCRIPT):
            return RecordingScript(Path(name.removeprefix(SCRIPT)), ledger)
        return RecordingModel(None if name == POISON else super().__call__(name), ledger)


class ParkedWorker(ManagedWorker):
    """A worker that never polls, and does not report it."""

    async def run(self) -> None:
        """Wait until it is retired."""
        while not self.is_retired:  # noqa: ASYNC110 - the product's own flag has no event
            await asyncio.sleep(0.05)
        self.ended.set()

    async def retire(self) -> None:
        """Return when `run` has ended."""
        self.is_retired = True
        await self.ended.wait()


async def build_parked_worker(
    session: Session, activities: Activities, *, task_queue: str, generation: int, began: float
) -> ManagedWorker:
    """Build a parked worker once; the next one is the product's own."""
    worker_pool.build_worker = build_worker  # type: ignore[attr-defined]
    real = await build_worker(session, activities, task_queue=task_queue, generation=generation, began=began)
    return ParkedWorker(
        identity=real.identity,
        task_queue=task_queue,
        generation=generation,
        worker=real.worker,
        began=began,
        broken=real.broken,
    )


def main() -> int:
    """As `stigmer work`."""
    settings = load({}, os.environ, user_home=Path(os.environ["STIGMER_HOME"]))
    log.configure("runner", settings.log_level)
    worker.Catalog = RecordingCatalog  # type: ignore[attr-defined]
    if os.environ.get(PARKED):
        worker_pool.build_worker = build_parked_worker  # type: ignore[attr-defined]
    return asyncio.run(worker.run_runner(settings, clock=SystemClock()))


if __name__ == "__main__":
    sys.exit(main())
