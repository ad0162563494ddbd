"""Declares the commands about the program; heavy imports wait until a command runs."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOPIC]", help="A page of the manual, or a command.", show_default=False),
]
Pager = Annotated[
    bool,
    typer.Option("--pager/--no-pager", help="Show a page that is longer than the terminal in $PAGER, or less."),
]


def show_help(ctx: typer.Context, words: Words = None, *, is_paged: Pager = True) -> None:
    """Show a page of the manual. Without a topic, list the pages."""
    from stigmer_cli.cli.help.manual import show_manual

    show_manual(cli_of(ctx), ctx, words or [], is_paged=is_paged)


def _print_version(ctx: typer.Context, *, is_asked: bool) -> None:
    if is_asked:
        from stigmer_cli.cli.help.version import show_short_version

        show_short_version(cli_of(ctx))
        raise typer.Exit


VersionFlag = Annotated[
    bool,
    typer.Option(
        "--version",
        is_eager=True,
        callback=lambda ctx, is_asked: _print_version(ctx, is_asked=is_asked),
        help="Show the version and exit.",
    ),
]


def show_version_first(*, _version: VersionFlag = False) -> None:
    """Print the version if it is asked for; called before each command."""


def version(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """Print the versions of Stigmer, Temporal and Python."""
    from stigmer_cli.cli.help.version import show_version

    show_version(cli_of(ctx, output))
