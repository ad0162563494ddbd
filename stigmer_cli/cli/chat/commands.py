"""Declares `stigmer chat`; its body is imported when it runs, so that `--help` loads none of it."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.parameters import parse_session_option


def chat(
    ctx: typer.Context,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")],
    *,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            parser=parse_session_option,
            metavar="SESSION",
            help="Go on with this session, or begin one with this name. Default: a new one.",
        ),
    ] = None,
) -> None:
    """Talk with an agent. Ctrl-C cancels an answer, Ctrl-D ends the chat.

    Without a terminal each line of standard input is a message, and the answers go to standard output.
    """
    from stigmer_cli.cli.chat.chat import run_chat

    raise typer.Exit(run_chat(cli_of(ctx), agent, session))
