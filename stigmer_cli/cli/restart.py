"""`stigmer restart [PART]`: one part by itself, or the whole stack with the settings of today."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.up import print_ready, shown_progress, tell_pending


def restart(
    ctx: typer.Context,
    part: Annotated[str | None, typer.Argument(help="temporal, server or runner; all where none is named.")] = None,
    wait_timeout: Annotated[float, typer.Option(min=0.1, metavar="S", help="Seconds until it must be ready.")] = 60.0,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Restart one part, or all, with the settings and keys of this shell; addresses change with all parts only."""
    from stigmer_cli.stack import restart as stack  # noqa: PLC0415 - not for --help
    from stigmer_cli.stack.parts import StackOptions  # noqa: PLC0415
    from stigmer_cli.stack.remote import refuse_elsewhere  # noqa: PLC0415
    from stigmer_cli.stack.up import Surroundings  # noqa: PLC0415

    cli = cli_of(ctx)
    out = cli.show(output)
    settings = cli.own_settings()
    refuse_elsewhere(settings, "stigmer restart")
    options = StackOptions(wait_timeout_s=wait_timeout)
    around = Surroundings(clock=cli.clock, environ=cli.environ, tell=out.note)
    with shown_progress(out) as board:
        if part is None:
            ready = cli.run(stack.restart(settings, options, progress=board, around=around))
        else:
            ready = cli.run(stack.restart_part(settings, part, options, progress=board, around=around))
    print_ready(out, ready)
    tell_pending(out, ready)
