"""Declares the commands about sessions; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes
from stigmer_cli.cli.sections import make_group

SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="The session's name.")]

sessions = make_group("List, show and delete conversations with agents.")


@sessions.command("list")
def list_(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most this many.")] = 50,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List sessions, the one that was used last first."""
    from stigmer_cli.cli.sessions.list import list_sessions

    list_sessions(cli_of(ctx, output, is_look=True), limit=limit)


@sessions.command("get")
def get(
    ctx: typer.Context,
    session: SessionName,
    *,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most this many of its last messages.")] = 20,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what was said in a session, the last message at the end."""
    from stigmer_cli.cli.sessions.get import show_session

    show_session(cli_of(ctx, output, is_look=True), session, limit=limit)


@sessions.command("delete")
def delete(ctx: typer.Context, session: SessionName, *, yes: Yes = False, output: OutputFormat = Format.TABLE) -> None:
    """Delete a session with its executions, which must have ended. It asks first."""
    from stigmer_cli.cli.sessions.delete import delete_session

    delete_session(cli_of(ctx, output), session, is_agreed=yes)
