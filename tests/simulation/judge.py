"""What must be true when everything has ended: nothing is lost, nothing ran twice, nothing is stuck unnoticed."""

import asyncio
from collections.abc import Mapping, Sequence

from stigmer_cli.domain.execution import AttentionCode, EventType, Execution
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.server.routes.children import PARENT_LABEL
from stigmer_cli.store.listing import Filter
from stigmer_cli.temporal.gateway import RunState
from tests.simulation.reports import has_steps
from tests.simulation.simulation import Simulation
from tests.simulation.steps import STEP_MARKS, wrong_steps
from tests.simulation.workflow_judge import wrong_workflow

ENDINGS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})


async def judge(
    simulation: Simulation, clients: Sequence[asyncio.Task[None]]
) -> tuple[Sequence[str], Sequence[Execution]]:
    """What is wrong at the end (safety on the way included), and the rows."""
    wrong = [*simulation.watcher.violations, *simulation.ledger.steps.wrong]
    if not all(client.done() for client in clients):
        wrong.append("a client still waits for its answer")
    page = await simulation.store.executions.list(Filter(), limit=500)
    rows = {row.id: row for row in page.items}
    wrong += [
        f"I3: {key} was acknowledged as {id_}, which is gone"
        for key, id_ in simulation.acknowledged.items()
        if id_ not in rows
    ]
    asked = [row for row in rows.values() if PARENT_LABEL not in row.labels]
    if len(asked) != simulation.plan.executions:
        wrong.append(f"{simulation.plan.executions} requests made {len(asked)} executions")
    for row in rows.values():
        wrong += [f"{row.id}: {words}" for words in await _of(simulation, row, rows)]
    wrong += [
        f"{run.name} is still open in Temporal, at {run.stage} {run.attempt}"
        for run in simulation.temporal.runs.values()
        if run.state is RunState.OPEN
    ]
    return wrong, list(rows.values())


async def _of(simulation: Simulation, row: Execution, rows: Mapping[ExecutionId, Execution]) -> list[str]:
    """What is wrong with one execution at the end."""
    wrong = []
    if not row.phase.is_terminal and row.attention is None:
        wrong.append(f"L2: still {row.phase}, submitted: {row.dispatch.is_submitted}, and nobody is told")
    timeline = await simulation.store.events.list(row.id)
    events = [event.type for event in timeline]
    by_itself = [event for event in timeline if event.type is EventType.RESUMED and event.data["resumes"]]
    if simulation.plan.remembers and by_itself:
        wrong.append("it was resumed though Temporal remembered everything")
    handed_back = sum(event.type is EventType.ORPHANED and "epoch" in event.data for event in timeline)
    epochs = events.count(EventType.STARTED_OVER) + events.count(EventType.RESUMED) + handed_back + 1
    if epochs != row.epoch or events.count(EventType.CLAIMED) > epochs:
        wrong.append(f"{events.count(EventType.CLAIMED)} claims in {row.epoch} epochs")
    if sum(event in ENDINGS for event in events) != row.phase.is_terminal:
        wrong.append(f"its ends in the timeline: {[event for event in events if event in ENDINGS]}")
    if simulation.plan.workflows and not row.phase.is_terminal:
        wrong.append(f"still {row.phase}, and no way out has ended it: {row.attention or row.waiting}")
    if row.kind is Kind.WORKFLOW:
        wrong += await wrong_workflow(simulation.store, row, timeline, rows, simulation.ledger)
    return [*wrong, *await _of_steps(simulation, row), *_of_effects(simulation, row)]


async def _of_steps(simulation: Simulation, row: Execution) -> list[str]:
    wrong, mark = [], row.attention
    is_by_step = mark is not None and mark.code in STEP_MARKS
    if simulation.plan.remembers and mark is not None and not is_by_step:
        wrong.append(f"needs a person though Temporal remembered everything: {mark}")
    if mark is not None and mark.code is AttentionCode.JOURNAL_MISMATCH:
        wrong.append(f"its input never changed: {mark}")
    if row.kind is Kind.WORKFLOW:
        return wrong
    if is_by_step and not has_steps(row.message):
        wrong.append(f"no step of it can be in the air: {mark}")
    if has_steps(row.message):
        steps = await simulation.store.steps.list_last(row.id, limit=100)
        wrong += wrong_steps(row, steps, simulation.ledger.steps)
    return wrong


def _of_effects(simulation: Simulation, row: Execution) -> list[str]:
    wrong = [
        f"I1: two runs had effects in epoch {epoch}"
        for epoch in range(1, row.epoch + 1)
        if len(simulation.ledger.runs_of(row.id, epoch)) > 1
    ]
    if row.phase is Phase.COMPLETED and not simulation.ledger.runs_of(row.id, row.epoch):
        wrong.append("COMPLETED without an effect")
    is_agent = row.kind is Kind.AGENT
    if is_agent and row.phase is Phase.COMPLETED and (row.output or "").split()[:2] != [row.id, str(row.epoch)]:
        wrong.append(f"its output is another one's: {row.output!r}")
    return wrong
