"""The question before a command changes or deletes much."""

import typer

from stigmer_cli.cli.context import Cli


def ask_to_agree(cli: Cli, question: str, *, otherwise: str) -> None:
    """Return once a person has answered yes.

    Else tell `otherwise`, and raise typer.Exit (1) for a no, or typer.Abort for Ctrl-C. Ask outside the event loop,
    whose handler would swallow the first Ctrl-C; whether a person can be asked is `cli.out.can_ask`.
    """
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        cli.out.stderr.print()  # the question's line is still open
        cli.out.note(otherwise)
        raise
    if not agreed:
        cli.out.note(otherwise)
        raise typer.Exit(1)
