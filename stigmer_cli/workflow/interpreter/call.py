"""The task call: a service by one of the functions of the DSL, or a function that the document defines."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.call_arguments import prepare_arguments
from stigmer_cli.workflow.interpreter.catalog import NESTED, check_nesting, fetch_function, is_fetched
from stigmer_cli.workflow.interpreter.child import is_agent_call, perform_agent
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, read_effect
from stigmer_cli.workflow.interpreter.sequence import run_task
from stigmer_cli.workflow.interpreter.subscription import perform_subscription
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, TaskStep
from stigmer_cli.workflow.task import Task


async def perform_call(run: Run, visit: Visit) -> Flow:
    """Its output is what the service answers, or the output of the function."""
    name = cast("str", visit.task.body)
    if is_agent_call(run, name):
        return await perform_agent(run, visit)
    written, subscription = _take_subscription(run, name, visit.task.data.get("with") or {})
    arguments = await run.fill(written, visit.input, visit.scope)
    if (function := await _find_function(run, visit, name)) is not None:
        check_nesting(visit.key)
        flow = await run_task(run, function, f"{visit.key}{NESTED}", arguments, visit.scope)
        return Flow(output=flow.output)
    if name not in run.functions:
        raise make_error(ErrorType.CONFIGURATION, f"the function {name} cannot be called by this version")
    if not isinstance(arguments, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"the arguments of {name} are no mapping")
    prepared = await prepare_arguments(run, visit, name, arguments)
    request = CallRequest(
        function=name,
        arguments=prepared.arguments,
        policy=prepared.policy,
        resource_policy=prepared.resource_policy,
        idempotency_key=idempotency_key(run.facts.id, visit.key, run.facts.generations),
    )
    translation = run.functions.translations.get(name)
    if translation is not None and translation.is_needed(request.arguments, read_effect(visit.task)):
        request = await _translate(run, visit, request)
    if subscription is not None:
        flow = await perform_subscription(run, visit, request, run.functions.subscriptions[name], subscription)
        return replace(flow, authorization=request.policy.describe() if request.policy else None)
    output = await _call_service(run, visit, request)
    return Flow(output=output, authorization=request.policy.describe() if request.policy else None)


async def _find_function(run: Run, visit: Visit, name: str) -> Task | None:
    """The function of the document, of a catalog, or at an address; None for one of the DSL."""
    if (defined := run.use.get("functions", {}).get(name)) is not None:
        return Task(name=name, data=cast("Mapping[str, Json]", defined), path=("use", "functions", name))
    return await fetch_function(run, visit, name) if is_fetched(name) else None


def _take_subscription(run: Run, name: str, written: Json) -> tuple[Json, Mapping[str, Json] | None]:
    """The arguments without the subscription, whose expressions are about messages that are still to come."""
    declared = written.get("subscription") if isinstance(written, Mapping) else None
    if name not in run.functions.subscriptions or not isinstance(written, Mapping) or not isinstance(declared, Mapping):
        return written, None
    return {key: value for key, value in written.items() if key != "subscription"}, declared


async def _translate(run: Run, visit: Visit, request: CallRequest) -> CallRequest:
    """The request that `request` stands for: it is recorded, since documents and services change."""

    async def translate() -> Json:
        function, other = await run.functions.translations[request.function].translate(request)
        return {"call": function, "with": other}

    step = TaskStep(
        key=f"{visit.key}/operation",
        name=f"{visit.task.name}: {request.function}",
        effect=Effect.REPEATABLE,
        input={"call": request.function, "with": request.arguments},
    )
    found = cast("Mapping[str, Json]", await run.perform_step(step, translate))
    arguments = cast("Mapping[str, Json]", found["with"])
    return replace(request, function=cast("str", found["call"]), arguments=arguments)


async def _call_service(run: Run, visit: Visit, request: CallRequest) -> Json:
    """What the service answers. Authentication is no part of what is recorded."""
    call = run.functions.calls[request.function]
    effect = read_effect(visit.task) or call.find_effect(request.arguments)

    async def perform() -> Json:
        return await call.perform(replace(request, effect=effect))

    step = TaskStep(
        key=visit.key,
        name=f"{visit.task.name}: {request.function}",
        effect=effect,
        input={"call": request.function, "with": request.arguments},
    )
    return await run.perform_step(step, perform)
