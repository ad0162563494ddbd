"""Reads files that are to be applied: agents and workflows, in any order, in one file or several."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from stigmer_cli.api.resources import AgentManifest, AppliedItem
from stigmer_cli.api.workflows import AppliedWorkflowItem, WorkflowManifest
from stigmer_cli.cli.agents.documents import split_source
from stigmer_cli.cli.agents.manifest import find_agents, read_sources, refuse_empty, refuse_problems
from stigmer_cli.cli.context import Cli
from stigmer_cli.client import Client


@dataclass(kw_only=True)
class Manifests:
    """What files say, each in the order of the files."""

    agents: list[AgentManifest] = field(default_factory=list)
    workflows: list[WorkflowManifest] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What applying did, or would do."""

    agents: Sequence[AppliedItem]
    workflows: Sequence[AppliedWorkflowItem]


def read_manifests(cli: Cli, names: Sequence[str]) -> Manifests:
    """The manifests in the files and folders `names`; raises ConfigError that lists every problem of all of them."""
    found = Manifests()
    problems: list[str] = []
    for source in read_sources(names, sys.stdin.buffer):
        parts = split_source(source)
        if parts.agents is not None:
            manifests, mistakes = find_agents(parts.agents)
            found.agents += manifests
            problems += mistakes
        if parts.workflows is not None:
            from stigmer_cli.cli.workflows.manifest import read_workflow_manifests  # noqa: PLC0415 - jq is heavy

            workflows, mistakes = read_workflow_manifests(cli, parts.workflows)
            found.workflows += workflows
            problems += mistakes
    refuse_problems(problems)
    refuse_empty(has_any=bool(found.agents or found.workflows))
    return found


async def apply_manifests(client: Client, found: Manifests, *, is_dry_run: bool) -> Applied:
    """Apply all of it, or nothing; an older server, which knows no workflows, still takes agents."""
    if not found.workflows:
        return Applied(agents=await client.apply(found.agents, is_dry_run=is_dry_run), workflows=[])
    done = await client.apply_workflows(found.workflows, found.agents, is_dry_run=is_dry_run)
    return Applied(agents=done.agents, workflows=done.items)
