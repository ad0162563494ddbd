"""The task emit: publishes an event."""

import uuid
from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.event import EMITTED_BY, EVENT_DEPTH_MAX, check_event
from stigmer_cli.domain.step import Effect
from stigmer_cli.json_text import is_deeper
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.scope import describe_moment
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import TaskStep

SPEC_VERSION = "1.0"
NAMESPACE = uuid.UUID("5a0ec4be-7d3c-5a56-9a3e-0b4f1c0e8a11")


async def perform_emit(run: Run, visit: Visit) -> Flow:
    """Its output is the event (CloudEvents, JSON format).

    The event's id is a function of the execution and of the task's place in it: who compares ids sees it once, also
    when it is published twice. Where a person has the task performed anew, it is another event.
    """
    event = cast("Mapping[str, Json]", cast("Mapping[str, Json]", visit.task.body)["event"])["with"]
    filled = cast("Mapping[str, Json]", await run.fill(event, visit.input, visit.scope))
    if is_deeper(filled, EVENT_DEPTH_MAX):  # which could not even be recorded
        raise make_error(ErrorType.VALIDATION, f"the event is nested deeper than {EVENT_DEPTH_MAX} levels")
    workflow = run.workflow

    async def publish() -> Json:
        moment = cast("Mapping[str, Json]", describe_moment(run.world.now_ms()))
        whole: dict[str, Json] = {
            "specversion": SPEC_VERSION,
            "id": _make_id(run, visit),
            "source": f"/{workflow.namespace}/{workflow.name}/{workflow.version}",
            "time": moment["iso8601"],
            **filled,
            EMITTED_BY: run.facts.id,
        }
        try:
            event = cast("Mapping[str, Json]", check_event(whole))
        except ValueError as error:
            raise make_error(ErrorType.VALIDATION, str(error)) from error
        await run.world.publish(event)
        return event

    step = TaskStep(key=visit.key, name=visit.task.name, effect=Effect.REPEATABLE, input={"emit": filled})
    return Flow(output=await run.perform_step(step, publish))


def _make_id(run: Run, visit: Visit) -> str:
    generation = run.facts.generations.find(visit.key)
    return str(uuid.uuid5(NAMESPACE, f"{run.facts.id}{visit.key}{f'#{generation}' if generation else ''}"))
