"""What `stigmer run NAME` runs: an agent or a workflow, by its name and by what else was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stigmer_cli.cli.executions.options import Message, RunOptions
from stigmer_cli.client import Client
from stigmer_cli.domain.identity import AGENT_PREFIX, WORKFLOW_PREFIX, Kind, is_id
from stigmer_cli.errors import ConfigError, Conflict, NotFound
from stigmer_cli.nearest import suggest_nearest

NAMES_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Target:
    """An agent or a workflow, by the reference that the server takes."""

    kind: Kind
    name: str


def read_target(text: str, message: Message, options: RunOptions) -> Target | None:
    """What `text` means; None where only the server knows which of the two has that name.

    `agent/NAME` and `workflow/NAME` say it. Else what was given beside it does: an agent takes a message, and a
    workflow an input. Raises ConfigError for what the one that is named does not take.
    """
    target = _read_prefix(text)
    has_message = message.text is not None or message.file is not None
    if target is None and options.given_input is not None:
        target = Target(kind=Kind.WORKFLOW, name=text)
    if target is None and (has_message or options.session or options.limits):
        target = Target(kind=Kind.AGENT, name=text)
    if target is not None:
        _refuse_foreign(target, message, options)
    return target


async def find_target(client: Client, name: str) -> Target:
    """The agent or the workflow that is called `name`; raises NotFound, and Conflict where both are."""
    agent, workflow = await _has_agent(client, name), await _has_workflow(client, name)
    if agent and workflow:
        hint = f"stigmer run workflow/{name}; stigmer run agent/{name} MESSAGE"
        raise Conflict(f"an agent and a workflow are called {name}", hint=hint)
    if not agent and not workflow:
        raise await explain_unknown(client, name)
    return Target(kind=Kind.AGENT if agent else Kind.WORKFLOW, name=name)


async def explain_unknown(client: Client, name: str, wanted: Kind | None = None) -> NotFound:
    """The error for a name that no `wanted` has (None: neither agent nor workflow), with the nearest of both."""
    if wanted is Kind.AGENT and await _has_workflow(client, name):
        hint = f"stigmer run workflow/{name} --input JSON"
        return NotFound(f"{name} is a workflow, which takes an input, and no message", hint=hint)
    if wanted is Kind.WORKFLOW and await _has_agent(client, name):
        return NotFound(f"{name} is an agent, which takes a message, and no input", hint=f"stigmer run {name} MESSAGE")
    what = str(wanted) if wanted else "agent or workflow"
    near = suggest_nearest(name, await _list_names(client))
    hint = "stigmer agents list; stigmer workflows list; stigmer apply -f FILE creates one"
    return NotFound(f"there is no {what} {name}{near}", hint=hint)


def _read_prefix(text: str) -> Target | None:
    for kind in Kind:
        if text.startswith(f"{kind}/") and len(text) > len(kind) + 1:
            return Target(kind=kind, name=text.removeprefix(f"{kind}/"))
    if "/" in text or (is_id(text) and text.startswith(WORKFLOW_PREFIX)):
        return Target(kind=Kind.WORKFLOW, name=text)  # NAMESPACE/NAME: no agent has a slash in its name
    if is_id(text) and text.startswith(AGENT_PREFIX):
        return Target(kind=Kind.AGENT, name=text)
    return None


def _refuse_foreign(target: Target, message: Message, options: RunOptions) -> None:
    if target.kind is Kind.AGENT:
        if options.given_input is not None:
            raise ConfigError(f"agent {target.name} takes a message, and no --input", hint="stigmer run AGENT MESSAGE")
        return
    given = {
        "message": message.text is not None,
        "--file": message.file is not None,
        "--session": options.session is not None,
        "--limit": bool(options.limits),
    }
    if wrong := list(_names(given.items())):
        text = f"workflow {target.name} takes --input, and no {' and no '.join(wrong)}"
        raise ConfigError(text, hint=f"stigmer run workflow/{target.name} --input JSON")


def _names(given: Iterable[tuple[str, bool]]) -> Iterable[str]:
    return (name for name, is_given in given if is_given)


async def _has_agent(client: Client, name: str) -> bool:
    try:
        await client.agent(name)
    except NotFound:
        return False
    return True


async def _has_workflow(client: Client, name: str) -> bool:
    """Whether a workflow is called so; several are one too many, which the server says when it is to run."""
    try:
        await client.workflow(name)
    except NotFound:
        return False
    except Conflict:
        return True
    return True


async def _list_names(client: Client) -> Sequence[str]:
    """The names of agents and workflows, as `run` takes them."""
    agents = await client.agents(limit=NAMES_MAX)
    workflows = await client.workflows(limit=100, is_brief=True)
    names = [item.metadata.slug for item in agents.items]
    return [*names, *(name for item in workflows.items for name in (item.metadata.name, item.full_name))]
