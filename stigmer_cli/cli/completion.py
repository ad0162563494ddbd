"""`stigmer completion`: the script that teaches a shell to complete."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of

VARIABLE = "_STIGMER_COMPLETE"
"""Set by the script when a shell asks for what may come next."""


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(ctx: typer.Context, shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the completion script for a shell: source <(stigmer completion bash)."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # noqa: PLC0415 - typer re-exports it quietly

    script = get_completion_script(prog_name="stigmer", complete_var=VARIABLE, shell=shell)
    cli_of(ctx).out.raw(script + os.linesep)
