"""`stigmer completion`: the completion script for a shell."""

import os
from enum import StrEnum

from typer.completion import get_completion_script  # type: ignore[attr-defined] # typer does not declare the re-export

from stigmer_cli.cli.context import Cli

VARIABLE = "_STIGMER_COMPLETE"
"""Set by the script when a shell asks for completions."""


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def show_script(cli: Cli, shell: Shell) -> None:
    """Print the script for `shell`."""
    cli.out.raw(get_completion_script(prog_name="stigmer", complete_var=VARIABLE, shell=shell) + os.linesep)
