"""`stigmer apply`: creates or updates agents from files, all or none, or says what that would do."""

import sys
from collections.abc import Sequence

from stigmer_cli.cli.agents.apply_warnings import warn_of_gaps
from stigmer_cli.cli.agents.manifest import parse_manifests, read_sources
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.retry import call_with_retry


def apply_files(cli: Cli, files: Sequence[str], *, is_dry_run: bool) -> None:
    """Apply the manifests in `files`, and print what was done with each agent; raises ConfigError for a bad one.

    `is_dry_run`: the server checks them, and nothing is changed.
    """
    manifests = parse_manifests(read_sources(files, sys.stdin.buffer))
    if any(manifest.spec.limits and manifest.spec.limits.money for manifest in manifests):
        from stigmer_cli.cli.agents.prices import refuse_unpriced  # noqa: PLC0415 - for those who limit money

        refuse_unpriced(manifests, has_endpoint=bool(cli.load_settings(is_look=True).openai_base_url))
    items = call_with_retry(cli, lambda client: client.apply(manifests, is_dry_run=is_dry_run))
    would = " (dry run)" if is_dry_run else ""
    cli.out.result(
        {"dryRun": is_dry_run, "items": [item.to_wire() for item in items]},
        lambda console: console.print(
            "\n".join(f"agent/{escape_markup(item.agent.metadata.slug)} {item.verb}{would}" for item in items)
        ),
    )
    warn_of_gaps(cli, [item.agent for item in items])
