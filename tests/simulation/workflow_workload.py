"""Who asks for executions of workflows, and sends the events that they listen for."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stigmer_cli.domain.identity import AgentId, WorkflowDefinitionId
from stigmer_cli.json_text import dump_json
from stigmer_cli.store.workflows import WorkflowDraft
from tests.simulation.workflow_documents import PUBLISHED, WORKFLOWS
from tests.simulation.workflow_world import URL

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

REPEATS = 0.4
"""How often an event is sent a second time, by somebody who did not hear that it arrived."""


def draft_workflows() -> Sequence[WorkflowDraft]:
    """All workflows, as they are applied."""
    drafts = []
    for number, workflow in enumerate(WORKFLOWS.values()):
        spec = workflow.manifest(Path("ledger"), URL).spec
        drafts.append(
            WorkflowDraft(
                id=WorkflowDefinitionId(AgentId(f"wfl-{number:026d}")),
                namespace="chaos",
                name=workflow.name,
                version="1.0.0",
                document=dump_json(spec),
            )
        )
    return drafts


def choose_workflow(seed: int, number: int, share: float) -> str | None:
    """The workflow that request `number` is about; None: an agent."""
    rng = random.Random(seed * 1_000 + number)
    return rng.choice(list(WORKFLOWS)) if rng.random() < share else None


def make_input(order: str) -> str:
    """What an execution is given."""
    return json.dumps({"order": order})


async def publish_events(simulation: "Simulation", given: str) -> None:
    """Send the events about the order in `given`, one after the other, each until it has arrived."""
    order = json.loads(given)["order"]
    for number, (type_, value) in enumerate(PUBLISHED):
        await asyncio.sleep(simulation.rng.uniform(0, 4))
        event = {
            "specversion": "1.0",
            "id": f"{order}-{number}",
            "source": "https://simulation.example",
            "type": type_,
            "subject": order,
            "data": {"n": value},
        }
        await _publish(simulation, event)
        if simulation.rng.random() < REPEATS:
            await _publish(simulation, event)


async def _publish(simulation: "Simulation", event: dict[str, object]) -> None:
    while (server := simulation.a_server()) is None:  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(0.5)
    await simulation.store.cloud_events.publish([event])
    server.dispatcher.nudge()
