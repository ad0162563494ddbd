"""The tree of commands."""

from collections.abc import Mapping

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from stigmer_cli.cli import apply, completion, help, run, version  # noqa: A004
from stigmer_cli.cli.agents import agents
from stigmer_cli.cli.config import config
from stigmer_cli.cli.doctor import doctor
from stigmer_cli.cli.executions import executions
from stigmer_cli.cli.stack import commands as stack

ABOUT = "A local stack that runs AI agents and workflows durably on Temporal, and says why when it cannot."


def application(environ: Mapping[str, str]) -> typer.Typer:
    """The whole command line; where a shell asks for completions, it is ready to answer."""
    if completion.VARIABLE in environ:
        completion_init()
    app = typer.Typer(
        help=ABOUT,
        epilog="The manual: stigmer help.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for one in (
        stack.up,
        stack.down,
        stack.restart,
        stack.status,
        stack.logs,
        apply.apply,
        run.run,
        stack.ui,
        stack.serve,
        stack.work,
        version.version,
        completion.completion,
    ):
        app.command()(one)
    app.command("help")(help.show_help)
    app.add_typer(agents, name="agents")
    app.add_typer(executions, name="executions")
    app.add_typer(config, name="config")
    app.add_typer(doctor, name="doctor")
    return app
