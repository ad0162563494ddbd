"""`stigmer apply`: creates or updates agents and workflows from files, all or none, or says what that would do."""

from collections.abc import Sequence

from stigmer_cli.cli.agents.apply_warnings import warn_of_gaps
from stigmer_cli.cli.agents.read_manifests import apply_manifests, read_manifests
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.retry import call_with_retry


def apply_files(cli: Cli, files: Sequence[str], *, is_dry_run: bool) -> None:
    """Apply the manifests in `files`, and print what was done with each; raises ConfigError for a bad one.

    `is_dry_run`: the server checks them, and nothing is changed.
    """
    manifests = read_manifests(cli, files)
    if any(manifest.spec.limits and manifest.spec.limits.money for manifest in manifests.agents):
        from stigmer_cli.cli.agents.prices import refuse_unpriced  # noqa: PLC0415 - for those who limit money

        has_endpoint = bool(cli.load_settings(is_look=True).openai_base_url)
        refuse_unpriced(manifests.agents, has_endpoint=has_endpoint)
    done = call_with_retry(cli, lambda client: apply_manifests(client, manifests, is_dry_run=is_dry_run))
    would = " (dry run)" if is_dry_run else ""
    lines = [f"agent/{item.agent.metadata.slug} {item.verb}{would}" for item in done.agents]
    lines += [f"workflow/{item.workflow.metadata.name} {item.verb}{would}" for item in done.workflows]
    cli.out.result(
        {"dryRun": is_dry_run, "items": [item.to_wire() for item in (*done.agents, *done.workflows)]},
        lambda console: console.print(escape_markup("\n".join(lines)), soft_wrap=True),
    )
    warn_of_gaps(cli, [item.agent for item in done.agents], [item.workflow for item in done.workflows])
