"""Declares the command; it imports its body when it runs, because the protocol's library takes long to load."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of


def mcp(
    ctx: typer.Context,
    *,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Also offer the tools that run, reconcile, restart and cancel.")
    ] = False,
) -> None:
    """Give a coding agent tools (Model Context Protocol).

    The coding agent starts it, and speaks with it on standard input and output. To set it up: stigmer help mcp
    """
    from stigmer_cli.cli.mcp.serve import serve_agent

    serve_agent(cli_of(ctx), is_changing=allow_changes)
