"""`stigmer apply`: agents created or updated from files, all or none."""

import sys
from collections.abc import Sequence

from stigmer_cli.cli.agents.manifest import parse, read_sources
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import safe
from stigmer_cli.cli.retry import insist


def apply_files(cli: Cli, files: Sequence[str]) -> None:
    """Apply what `files` hold, and print what became of each agent."""
    manifests = parse(read_sources(files, iter(sys.stdin.buffer)))
    items = insist(cli, lambda client: client.apply(manifests))
    cli.out.result(
        {"items": [item.to_wire() for item in items]},
        lambda console: console.print(
            "\n".join(f"agent/{safe(item.agent.metadata.slug)} {item.verb}" for item in items)
        ),
    )
