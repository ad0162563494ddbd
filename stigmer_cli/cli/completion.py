"""`stigmer completion`: the script that teaches a shell to complete."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(ctx: typer.Context, shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the completion script for a shell: source <(stigmer completion bash)."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - typer's only door to it

    script = get_completion_script(prog_name="stigmer", complete_var="_STIGMER_COMPLETE", shell=shell)
    cli_of(ctx).out.raw(script + os.linesep)
