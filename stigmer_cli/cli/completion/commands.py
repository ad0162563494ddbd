"""Declares the commands about completions; each imports its body when it runs, so that `--help` loads none of them."""

from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.sections import make_group


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ForShell = Annotated[
    Shell | None,
    typer.Argument(metavar="[SHELL]", help="bash, zsh or fish. Default: the shell you are in.", show_default=False),
]
PrintOnly = Annotated[bool, typer.Option("--print", help="Print the script, and write nothing.")]

completion = make_group("Complete commands, agents, executions and more with the tab key.")


@completion.command("install")
def install(ctx: typer.Context, shell: ForShell = None, *, print_only: PrintOnly = False) -> None:
    """Install completions for your user."""
    from stigmer_cli.cli.completion.install import install_script, show_script

    show_script(cli_of(ctx), shell) if print_only else install_script(cli_of(ctx), shell)


@completion.command("uninstall")
def uninstall(ctx: typer.Context, shell: ForShell = None) -> None:
    """Remove what `stigmer completion install` wrote."""
    from stigmer_cli.cli.completion.install import remove_script

    remove_script(cli_of(ctx), shell)


@completion.command("bash")
def bash(ctx: typer.Context) -> None:
    """Print the script for bash. Load it once with: source <(stigmer completion bash)."""
    from stigmer_cli.cli.completion.install import show_script

    show_script(cli_of(ctx), Shell.BASH)


@completion.command("zsh")
def zsh(ctx: typer.Context) -> None:
    """Print the script for zsh. Load it once with: source <(stigmer completion zsh)."""
    from stigmer_cli.cli.completion.install import show_script

    show_script(cli_of(ctx), Shell.ZSH)


@completion.command("fish")
def fish(ctx: typer.Context) -> None:
    """Print the script for fish. Load it once with: stigmer completion fish | source."""
    from stigmer_cli.cli.completion.install import show_script

    show_script(cli_of(ctx), Shell.FISH)
