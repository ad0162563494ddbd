"""Declares the command; it imports its body when it runs, so that `--help` loads none of it."""

from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes


class FaultName(StrEnum):
    """The faults of a drill; scripts may rely on these words."""

    KILL_SERVER = "kill-server"
    KILL_RUNNER = "kill-runner"
    KILL_TEMPORAL = "kill-temporal"
    FREEZE_SERVER = "freeze-server"
    FREEZE_RUNNER = "freeze-runner"
    FREEZE_TEMPORAL = "freeze-temporal"
    FULL_DISK = "full-disk"
    EMPTY_TEMPORAL = "empty-temporal"


def drill(
    ctx: typer.Context,
    *,
    only: Annotated[
        list[FaultName] | None, typer.Option(metavar="FAULT", help="Only this fault. May be repeated.")
    ] = None,
    faults: Annotated[
        int | None, typer.Option("--faults", min=1, metavar="N", help="Inject N faults in a random order.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Repeat the order of an earlier drill.")] = None,
    here: Annotated[bool, typer.Option("--here", help="Use the stack of this home, not a throw-away one.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Inject faults into a stack, and certify that it heals.

    It starts a stack in a throw-away home, runs executions in it, and injects one fault after another. The table says
    how soon each was noticed and healed, and how many executions were lost or done twice. Exits 0 only if none was.
    """
    from stigmer_cli.cli.drill.drill import DrillOptions, run_drill

    options = DrillOptions(only=tuple(only or ()), number=faults, seed=seed, is_here=here, is_agreed=yes)
    raise typer.Exit(run_drill(cli_of(ctx, output), options))
