"""The arguments of a call: its addresses are expanded, and what authenticates it is taken out of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from stigmer_cli.workflow.authentication import Policy, find_policy
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.expression.syntax import split_template
from stigmer_cli.workflow.interpreter.run import Run, Visit
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.uri import VARIABLE, expand_uri

RESOURCES = ("document", "proto", "agentCard")
"""Arguments that are a resource: where a document is that describes the service."""

ADDRESS_OF: Mapping[str, tuple[str, ...]] = {
    "http": ("endpoint",),
    "a2a": ("server",),
    "mcp": ("transport", "http", "endpoint"),
}
"""Where a function has the address of its service."""

EXPANDED = ("oauth2", "oidc")
"""Schemes whose authority is a template of an address."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Arguments in which each address is a text, and nothing authenticates; `policy` and `resource_policy` do."""

    arguments: Mapping[str, Json]
    policy: Policy | None
    resource_policy: Policy | None


@dataclass(kw_only=True)
class _Found:
    """What was taken out of the arguments."""

    policy: Json = None
    resource_policy: Json = None
    on: Json = field(default=None)

    def take_address(self, place: Json, written: Json) -> tuple[str, Json]:
        """The address of an endpoint, and the policy in it; `written` is the endpoint as the document has it."""
        policy: Json = None
        if isinstance(place, Mapping):
            policy = place.get("authentication")
            place = place.get("uri")
            written = written.get("uri") if isinstance(written, Mapping) else written
        if not isinstance(place, str):
            raise make_error(ErrorType.CONFIGURATION, f"the address of the call is no text: {place!r}")
        # What an expression gives is data: the braces in it are its own.
        is_data = isinstance(written, str) and not _has_variables(written)
        return place if is_data else expand_uri(place, self.on), policy


async def prepare_arguments(run: Run, visit: Visit, function: str, given: Mapping[str, Json]) -> Prepared:
    """The arguments `given`, whose expressions were evaluated. Raises WorkflowError."""
    written = visit.task.data.get("with")
    found = _Found(on=visit.input)
    arguments = dict(given)
    if "authentication" in arguments:
        found.policy = arguments.pop("authentication")
    for name in RESOURCES:
        if isinstance(resource := arguments.get(name), Mapping):
            as_written = _dig(written, (name, "endpoint"))
            arguments[name], found.resource_policy = found.take_address(resource.get("endpoint"), as_written)
    if isinstance(service := arguments.get("service"), Mapping) and "authentication" in service:
        found.policy = service["authentication"]
        arguments["service"] = {key: value for key, value in service.items() if key != "authentication"}
    path = ADDRESS_OF.get(function, ())
    if (place := _dig(arguments, path)) is not None:
        address, policy = found.take_address(place, _dig(written, path))
        arguments = cast("dict[str, Json]", _put(arguments, path, address))
        found.policy = found.policy if policy is None else policy
    return Prepared(
        arguments=arguments,
        policy=await _resolve(run, found.policy, visit.input, visit.scope),
        resource_policy=await _resolve(run, found.resource_policy, visit.input, visit.scope),
    )


async def take_endpoint(run: Run, written: Json, on: Json, scope: Scope) -> tuple[str, Policy | None]:
    """The address of an endpoint of the document, and what authenticates there; its expressions see `on`.

    Raises WorkflowError.
    """
    place = await run.fill(written, on, scope)
    address, policy = _Found(on=on).take_address(place, written)
    return address, await _resolve(run, policy, on, scope)


async def _resolve(run: Run, policy: Json, on: Json, scope: Scope) -> Policy | None:
    """The policy of the document, or the one of `use` that it names, with the secrets that it needs."""
    if isinstance(policy, Mapping) and "use" in policy:
        named = run.use.get("authentications", {}).get(str(policy["use"]))
        policy = await run.fill(named, on, scope)
    found = find_policy(policy, run.secrets)
    authority = None if found is None else found.properties.get("authority")
    if found is None or found.scheme not in EXPANDED or not isinstance(authority, str):
        return found
    properties = {**found.properties, "authority": expand_uri(authority, on)}
    return Policy(scheme=found.scheme, properties=properties)


def _has_variables(written: str) -> bool:
    """Whether an address of the document has variables outside of its expressions."""
    return any(isinstance(part, str) and VARIABLE.search(part) for part in split_template(written))


def _dig(value: Json, path: tuple[str, ...]) -> Json:
    """What is at `path` of `value`; None if nothing is there, or for no path."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if path else None


def _put(value: Json, path: tuple[str, ...], new: Json) -> Json:
    """`value` with `new` at `path`, which is there."""
    if not path:
        return new
    inner = cast("Mapping[str, Json]", value)
    return {**inner, path[0]: _put(inner[path[0]], path[1:], new)}
