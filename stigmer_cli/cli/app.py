"""The tree of commands."""

from collections.abc import Mapping
from typing import Any

import typer

from stigmer_cli.cli.help.commands import show_version_first
from stigmer_cli.cli.lazy_commands import Declared, LazyCommands
from stigmer_cli.cli.sections import AGENTS, DIAGNOSE, SETTINGS, STACK, SectionedGroup

ABOUT = "A local stack that runs AI agents and workflows durably on Temporal, and says why when it cannot."
EPILOG = "Read the manual with: stigmer help"

COMMANDS: Mapping[str, Declared] = {
    "init": (STACK, "stack.commands:init"),
    "up": (STACK, "stack.commands:up"),
    "down": (STACK, "stack.commands:down"),
    "restart": (STACK, "stack.commands:restart"),
    "status": (STACK, "stack.commands:status"),
    "logs": (STACK, "stack.commands:logs"),
    "ls": (STACK, "stack.commands:ls"),
    "serve": (STACK, "stack.commands:serve"),
    "work": (STACK, "stack.commands:work"),
    "apply": (AGENTS, "agents.commands:apply"),
    "diff": (AGENTS, "agents.commands:diff"),
    "run": (AGENTS, "executions.commands:run"),
    "chat": (AGENTS, "chat.commands:chat"),
    "agents": (AGENTS, "agents.commands:agents"),
    "workflows": (AGENTS, "workflows.commands:workflows"),
    "events": (AGENTS, "events.commands:events"),
    "schedules": (AGENTS, "schedules.commands:schedules"),
    "executions": (AGENTS, "executions.commands:executions"),
    "sessions": (AGENTS, "sessions.commands:sessions"),
    "secrets": (AGENTS, "secrets.commands:secrets"),
    "usage": (AGENTS, "executions.usage_commands:usage"),
    "ui": (AGENTS, "stack.commands:ui"),
    "top": (DIAGNOSE, "top.commands:top"),
    "doctor": (DIAGNOSE, "doctor.commands:doctor"),
    "drill": (DIAGNOSE, "drill.commands:drill"),
    "mcp": (DIAGNOSE, "mcp.commands:mcp"),
    "config": (SETTINGS, "config.commands:config"),
    "completion": (SETTINGS, "completion.commands:completion"),
    "version": (SETTINGS, "help.commands:version"),
    "help": (SETTINGS, "help.commands:show_help"),
}
"""Every command and every group of commands: its section in the help, and where it is declared.

A place is `module:name`, the module below `stigmer_cli.cli`. It is imported when its command is needed.
"""


class Application(SectionedGroup):
    """All commands."""

    def __init__(self, **declared: Any) -> None:  # noqa: ANN401 - as typer calls it
        super().__init__(**declared)
        self.commands = LazyCommands(COMMANDS)


def build_application() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        cls=Application,
        help=ABOUT,
        epilog=EPILOG,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=ABOUT, epilog=EPILOG)(show_version_first)
    return app
