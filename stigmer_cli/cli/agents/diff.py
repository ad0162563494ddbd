"""`stigmer diff`: what applying files would change, as a unified diff of YAML."""

import difflib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import AppliedItem
from stigmer_cli.cli.agents.manifest import parse_manifests, read_sources
from stigmer_cli.cli.agents.manifest_yaml import write_manifest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences

UNCHANGED = "unchanged"
STYLES = {"+": "green", "-": "red", "@": "cyan"}
"""Colours by the first character of a line."""


def diff_files(cli: Cli, files: Sequence[str]) -> int:
    """Print how the agents in `files` differ from the server's; returns 1 if one does, else 0.

    Raises ConfigError for a file that `apply` would refuse.
    """
    manifests = parse_manifests(read_sources(files, sys.stdin.buffer))
    items = cli.call(lambda client: client.apply(manifests, is_dry_run=True))
    diffs = [_diff(item) for item in items]
    cli.out.result(
        {
            "items": [
                {"agent": item.agent.metadata.slug, "verb": item.verb, "diff": "".join(lines)}
                for item, lines in zip(items, diffs, strict=True)
            ]
        },
        lambda console: _print(console, [line for lines in diffs for line in lines]),
    )
    return 1 if any(item.verb != UNCHANGED for item in items) else 0


def _diff(item: AppliedItem) -> Sequence[str]:
    """The lines of the diff; none for an agent that would stay as it is."""
    if item.verb == UNCHANGED:
        return []
    name = f"agent/{item.agent.metadata.slug}"
    before = write_manifest(item.before).splitlines(keepends=True) if item.before else []
    after = write_manifest(item.agent).splitlines(keepends=True)
    return list(difflib.unified_diff(before, after, f"{name} (server)" if before else "/dev/null", f"{name} (file)"))


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        text = strip_control_sequences(line.rstrip("\n"))
        is_header = line.startswith(("---", "+++"))
        console.print(Text(text, style="bold" if is_header else STYLES.get(line[0], "")), soft_wrap=True)
