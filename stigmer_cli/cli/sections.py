"""How help is printed: commands in sections, and a required argument as `ID`, where typer prints `{ID}`."""

from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

STACK = "Stack"
AGENTS = "Agents and executions"
DIAGNOSE = "Diagnose"
SETTINGS = "Settings and help"
SECTIONS = (STACK, AGENTS, DIAGNOSE, SETTINGS)
"""The sections of `stigmer --help`, in the order in which they are printed."""

INDENT = 2
GAP = 2


class PlainCommand(TyperCommand):
    """A command whose usage has no braces around a required argument."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:
        """The words behind the command's name."""
        return [_strip_braces(piece) for piece in super().collect_usage_pieces(ctx)]


class SectionedGroup(TyperGroup):
    """The commands of an application, each listed in its section (`rich_help_panel`), in the order of registration."""

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002 - as typer calls it
        """The names, in the order of registration; typer's own looks at every command, too, which imports it."""
        return list(self.commands)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002 - as typer calls it
        """Write a table for each section; the tables share one width of names."""
        column = max(map(len, self.commands))
        limit = formatter.width - column - INDENT - GAP
        for section in SECTIONS:
            rows = [
                (name.ljust(column), command.get_short_help_str(limit))
                for name, command in self.commands.items()
                if getattr(command, "rich_help_panel", None) == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def make_group(about: str) -> typer.Typer:
    """A group of commands, whose help is plain text as that of every command is; typer's own takes rich to print."""
    return typer.Typer(help=about, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def print_plain_usage(app: typer.Typer) -> None:
    """Make every command of `app` and of its groups a `PlainCommand`."""
    for command in app.registered_commands:
        command.cls = PlainCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            print_plain_usage(group.typer_instance)


def _strip_braces(piece: str) -> str:
    return piece.removeprefix("{").removesuffix("}")
