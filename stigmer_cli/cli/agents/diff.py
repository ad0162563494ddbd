"""`stigmer diff`: what applying files would change, as a unified diff of YAML."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import AppliedItem
from stigmer_cli.api.workflows import AppliedWorkflowItem
from stigmer_cli.cli.agents.manifest_yaml import write_manifest
from stigmer_cli.cli.agents.read_manifests import apply_manifests, read_manifests
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences

UNCHANGED = "unchanged"
STYLES = {"+": "green", "-": "red", "@": "cyan"}
"""Colours by the first character of a line."""


def diff_files(cli: Cli, files: Sequence[str]) -> int:
    """Print how what `files` say differs from what the server has; returns 1 if something does, else 0.

    Raises ConfigError for a file that `apply` would refuse.
    """
    manifests = read_manifests(cli, files)
    found = cli.call(lambda client: apply_manifests(client, manifests, is_dry_run=True))
    items = [_diff_agent(item) for item in found.agents]
    items += [_diff_workflow(item) for item in found.workflows]
    shown = [{item.kind: item.name, "verb": item.verb, "diff": "".join(item.lines)} for item in items]
    cli.out.result({"items": shown}, lambda console: _print(console, [line for item in items for line in item.lines]))
    return 1 if any(item.verb != UNCHANGED for item in items) else 0


@dataclass(frozen=True, kw_only=True)
class _Diff:
    """What would be done with an agent or a workflow, and the lines of the diff; none where it would stay as it is."""

    kind: str
    name: str
    verb: str
    lines: Sequence[str]


def _diff_agent(item: AppliedItem) -> _Diff:
    name, before = item.agent.metadata.slug, write_manifest(item.before) if item.before else ""
    return _diff("agent", name, item.verb, before, write_manifest(item.agent))


def _diff_workflow(item: AppliedWorkflowItem) -> _Diff:
    from stigmer_cli.cli.workflows.manifest import write_workflow  # noqa: PLC0415 - jq is heavy

    name, before = item.workflow.metadata.name, write_workflow(item.before) if item.before else ""
    return _diff("workflow", name, item.verb, before, write_workflow(item.workflow))


def _diff(kind: str, name: str, verb: str, before: str, after: str) -> _Diff:
    old, new = f"{kind}/{name} (server)" if before else "/dev/null", f"{kind}/{name} (file)"
    lines = [] if verb == UNCHANGED else list(difflib.unified_diff(_split(before), _split(after), old, new))
    return _Diff(kind=kind, name=name, verb=verb, lines=lines)


def _split(text: str) -> Sequence[str]:
    return text.splitlines(keepends=True)


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        text = strip_control_sequences(line.rstrip("\n"))
        is_header = line.startswith(("---", "+++"))
        console.print(Text(text, style="bold" if is_header else STYLES.get(line[0], "")), soft_wrap=True)
