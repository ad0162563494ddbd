"""The options and arguments that several commands take, each declared once."""

from typing import Annotated

import typer

from stigmer_cli.cli.output import Format
from stigmer_cli.cli.wait import WAIT_OPTION as WAIT

OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
WaitFor = Annotated[str | None, typer.Option(WAIT, metavar="[=S]", help="Wait for Temporal, for S seconds at most.")]
WaitTimeout = Annotated[
    float, typer.Option(min=0.1, metavar="S", help="Fail if the stack is not ready within S seconds.")
]
