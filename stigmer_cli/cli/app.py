"""The tree of commands."""

from collections.abc import Mapping

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from stigmer_cli.cli.agents.commands import agents, apply
from stigmer_cli.cli.config.commands import config
from stigmer_cli.cli.doctor.commands import doctor
from stigmer_cli.cli.executions.commands import executions, run
from stigmer_cli.cli.help import commands as help_
from stigmer_cli.cli.help.completion import VARIABLE
from stigmer_cli.cli.stack import commands as stack

ABOUT = "A local stack that runs AI agents and workflows durably on Temporal, and says why when it cannot."
EPILOG = "Read the manual with: stigmer help"


def build_application(environ: Mapping[str, str]) -> typer.Typer:
    """The whole command line. Completions are set up only when a shell asks for them."""
    if VARIABLE in environ:
        completion_init()
    app = typer.Typer(
        help=ABOUT,
        epilog=EPILOG,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=ABOUT, epilog=EPILOG)(help_.show_version_first)
    for one in (
        stack.up,
        stack.down,
        stack.restart,
        stack.status,
        stack.logs,
        apply,
        run,
        stack.ui,
        stack.serve,
        stack.work,
        help_.version,
        help_.completion,
    ):
        app.command()(one)
    app.command("help")(help_.show_help)
    app.add_typer(agents, name="agents")
    app.add_typer(executions, name="executions")
    app.add_typer(config, name="config")
    app.add_typer(doctor, name="doctor")
    return app
