"""What `stigmer apply` warns of: agents and workflows that are valid, and still cannot run as things are."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

from stigmer_cli.api.agent_spec import AgentSpecBody
from stigmer_cli.api.resources import AgentResource
from stigmer_cli.api.workflows import WorkflowResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.domain.model_provider import OPENAI, Provider, describe_missing_library, find_provider
from stigmer_cli.domain.secret import find_references
from stigmer_cli.errors import NotFound
from stigmer_cli.extras import is_installed


def warn_of_gaps(cli: Cli, agents: Sequence[AgentResource], workflows: Sequence[WorkflowResource] = ()) -> None:
    """Warn of what agents and workflows need and what is not there: libraries of providers, keys, and secrets."""
    for line in find_missing_libraries(agents):
        cli.out.warning(line)
    needed = {item.metadata.name: list_secrets(item) for item in workflows}
    if not any(_references_of(agent.spec) or _needs_key(agent) for agent in agents) and not any(needed.values()):
        return
    try:
        kept = {item.name for item in cli.call(lambda client: client.secrets()).items}
    except NotFound:  # a server from before there were secrets
        return
    settings = cli.load_settings(is_look=True)
    has_endpoint = bool(settings.openai_api_key or settings.openai_base_url)
    for line in find_missing_secrets(agents, kept, partial(_is_given, cli, has_endpoint)):
        cli.out.warning(line)
    for name in sorted({name for names in needed.values() for name in names} - kept):
        users = sorted(user for user, names in needed.items() if name in names)
        cli.out.warning(f"there is no secret {name}, which {', '.join(users)} will need: stigmer secrets set {name}")


def list_secrets(workflow: WorkflowResource) -> Sequence[str]:
    """The secrets that a workflow declares in `use`."""
    use = workflow.spec.get("use")
    names = use.get("secrets") if isinstance(use, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def find_missing_libraries(agents: Sequence[AgentResource]) -> Iterator[str]:
    """A sentence for each library that a model of `agents` needs and that is not installed here."""
    providers = [provider for agent in agents if (provider := find_provider(agent.spec.model))]
    for provider in {provider.library: provider for provider in providers}.values():
        if not is_installed(provider.library):
            yield describe_missing_library(provider)


def find_missing_secrets(
    agents: Sequence[AgentResource], kept: Collection[str], is_given: Callable[[Provider], bool]
) -> Iterator[str]:
    """A sentence for each secret and key that `agents` need and that is not among `kept`.

    `is_given` says whether this shell has the key or the endpoint of a provider. A runner may have been started with
    what this shell does not have, so that the sentence about a key says `unless`.
    """
    references = {agent.metadata.slug: _references_of(agent.spec) for agent in agents}
    for name in sorted({name for names in references.values() for name in names} - set(kept)):
        users = sorted(slug for slug, names in references.items() if name in names)
        yield f"there is no secret {name}, which {', '.join(users)} will need: stigmer secrets set {name}"
    needy = {agent.metadata.slug: provider for agent in agents if (provider := _needs_key(agent))}
    for provider in {provider.key: provider for provider in needy.values()}.values():
        if not (set(kept) & set(provider.keys) or is_given(provider)):
            users = sorted(slug for slug, other in needy.items() if other.key == provider.key)
            yield (
                f"there is no secret {provider.key}, which the model of {', '.join(users)} needs unless the runner was"
                f" started with that variable: stigmer secrets set {provider.key}"
            )


def _references_of(spec: AgentSpecBody) -> frozenset[str]:
    return find_references(json.dumps(spec.to_wire().get("tools", [])))


def _needs_key(agent: AgentResource) -> Provider | None:
    """The provider of its model, if that needs a key."""
    provider = find_provider(agent.spec.model)
    return provider if provider and provider.needs_key else None


def _is_given(cli: Cli, has_openai: bool, provider: Provider) -> bool:  # noqa: FBT001 - bound once, above
    if provider.key == OPENAI.key:
        return has_openai
    return any(cli.environ.get(name) for name in (*provider.keys, provider.url) if name)
