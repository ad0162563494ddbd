"""The tree of commands."""

from collections.abc import Callable, Mapping

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from stigmer_cli.cli.agents.commands import agents, apply
from stigmer_cli.cli.config.commands import config
from stigmer_cli.cli.doctor.commands import doctor
from stigmer_cli.cli.executions.commands import executions, run
from stigmer_cli.cli.help import commands as help_
from stigmer_cli.cli.help.completion import VARIABLE
from stigmer_cli.cli.sections import AGENTS, DIAGNOSE, SETTINGS, STACK, SectionedGroup, print_plain_usage
from stigmer_cli.cli.stack import commands as stack
from stigmer_cli.cli.top.commands import top

ABOUT = "A local stack that runs AI agents and workflows durably on Temporal, and says why when it cannot."
EPILOG = "Read the manual with: stigmer help"

COMMANDS: Mapping[str, tuple[str, Callable[..., None] | typer.Typer]] = {
    "up": (STACK, stack.up),
    "down": (STACK, stack.down),
    "restart": (STACK, stack.restart),
    "status": (STACK, stack.status),
    "logs": (STACK, stack.logs),
    "serve": (STACK, stack.serve),
    "work": (STACK, stack.work),
    "apply": (AGENTS, apply),
    "run": (AGENTS, run),
    "agents": (AGENTS, agents),
    "executions": (AGENTS, executions),
    "ui": (AGENTS, stack.ui),
    "top": (DIAGNOSE, top),
    "doctor": (DIAGNOSE, doctor),
    "config": (SETTINGS, config),
    "completion": (SETTINGS, help_.completion),
    "version": (SETTINGS, help_.version),
    "help": (SETTINGS, help_.show_help),
}
"""Every command and every group of commands: its section in the help, and what it runs."""


def build_application(environ: Mapping[str, str]) -> typer.Typer:
    """The whole command line. Completions are set up only when a shell asks for them."""
    if VARIABLE in environ:
        completion_init()
    app = typer.Typer(
        cls=SectionedGroup,
        help=ABOUT,
        epilog=EPILOG,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=ABOUT, epilog=EPILOG)(help_.show_version_first)
    for name, (section, command) in COMMANDS.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=section)
        else:
            app.command(name, rich_help_panel=section)(command)
    print_plain_usage(app)
    return app
