"""The task call: a service by one of the functions of the DSL, or a function that the document defines."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.step import Effect, idempotency_key
from stigmer_cli.workflow.authentication import Authorization, find_authorization
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, read_effect, shorten_key
from stigmer_cli.workflow.interpreter.sequence import run_task
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, TaskStep
from stigmer_cli.workflow.task import Task
from stigmer_cli.workflow.uri import expand_uri


async def perform_call(run: Run, visit: Visit) -> Flow:
    """Its output is what the service answers, or the output of the function."""
    name = cast("str", visit.task.body)
    arguments = await run.fill(visit.task.data.get("with") or {}, visit.input, visit.scope)
    if (defined := run.use.get("functions", {}).get(name)) is not None:
        function = Task(name=name, data=cast("Mapping[str, Json]", defined), path=("use", "functions", name))
        flow = await run_task(run, function, f"{visit.key}/function", arguments, visit.scope)
        return Flow(output=flow.output)
    if name not in run.functions:
        raise make_error(ErrorType.CONFIGURATION, f"the function {name} cannot be called by this version")
    prepared, authorization = await _prepare(run, visit, cast("Mapping[str, Json]", arguments))
    if name in run.functions.translations:
        name, prepared = await _translate(run, visit, name, prepared)
    output = await _call_service(run, visit, (name, prepared), authorization)
    return Flow(output=output, authorization=authorization.describe() if authorization else None)


async def _translate(
    run: Run, visit: Visit, name: str, arguments: Mapping[str, Json]
) -> tuple[str, Mapping[str, Json]]:
    """The function that `name` stands for with these arguments: it is recorded, since documents change."""

    async def translate() -> Json:
        function, other = await run.functions.translations[name].translate(arguments)
        return {"call": function, "with": other}

    given: Json = {"call": name, "with": arguments}
    step = TaskStep(
        key=shorten_key(f"{visit.key}/operation"),
        name=f"{visit.task.name}: {name}",
        effect=Effect.REPEATABLE,
        input=given,
    )
    found = cast("Mapping[str, Json]", await run.world.journal.perform(step, translate))
    return cast("str", found["call"]), cast("Mapping[str, Json]", found["with"])


async def _call_service(
    run: Run, visit: Visit, called: tuple[str, Mapping[str, Json]], authorization: Authorization | None
) -> Json:
    """What the service answers. Authentication is no part of what is recorded."""
    name, arguments = called
    call = run.functions.calls[name]
    request = CallRequest(
        function=name,
        arguments=arguments,
        headers=authorization.list_headers() if authorization else {},
        idempotency_key=idempotency_key(run.facts.id, visit.key),
    )

    async def perform() -> Json:
        return await call.perform(request)

    step = TaskStep(
        key=shorten_key(visit.key),
        name=f"{visit.task.name}: {name}",
        effect=read_effect(visit.task) or call.find_effect(arguments),
        input={"call": name, "with": arguments},
    )
    return await run.world.journal.perform(step, perform)


async def _prepare(
    run: Run, visit: Visit, given: Mapping[str, Json]
) -> tuple[Mapping[str, Json], Authorization | None]:
    """The arguments with each address as a text in which nothing is left to expand, and without authentication."""
    policy: Json = None
    prepared: dict[str, Json] = {}
    for key, value in given.items():
        if key in {"endpoint", "document"}:
            place = value.get("endpoint") if key == "document" and isinstance(value, Mapping) else value
            uri = place["uri"] if isinstance(place, Mapping) else place
            prepared[key] = expand_uri(str(uri), visit.input)
            if key == "endpoint" and isinstance(place, Mapping):
                policy = place.get("authentication", policy)
        elif key == "authentication":
            policy = value
        else:
            prepared[key] = value
    if isinstance(policy, Mapping) and "use" in policy:
        named = run.use.get("authentications", {}).get(str(policy["use"]))
        policy = await run.fill(named, visit.input, visit.scope)
    return prepared, find_authorization(policy, run.facts.secrets)
