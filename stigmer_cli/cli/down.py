"""`stigmer down`: everything stopped, and nothing of it left."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, clean
from stigmer_cli.errors import ConfigError
from stigmer_cli.home_trust import ROOT, require_trust
from stigmer_cli.settings import Home

if TYPE_CHECKING:
    from rich.console import Console

    from stigmer_cli.stack.down import Ended


def down(
    ctx: typer.Context,
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete data, logs and token.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Stop the local stack, Temporal last; nothing running is no error."""
    from stigmer_cli.stack.down import down as bring_down  # noqa: PLC0415 - not for --help
    from stigmer_cli.stack.down import purge as delete  # noqa: PLC0415

    cli = cli_of(ctx)
    cli.show(output)
    # The processes of a home are ended whoever can write there: the kernel lets nobody end another's, except root.
    home = cli.home
    if os.geteuid() == ROOT:
        require_trust(home.path)
    if purge and not yes:
        _ask(cli, home)
    work = delete(home, clock=cli.clock) if purge else bring_down(home, clock=cli.clock)
    ended = cli.run(work)
    _report(cli, ended)


def _ask(cli: Cli, home: Home) -> None:
    if not cli.out.can_ask:
        raise ConfigError("--purge deletes data and there is no terminal to ask on", hint="stigmer down --purge --yes")
    typer.confirm(f"Delete all executions, agents, logs and the token in {home.path}?", abort=True, err=True)


def _report(cli: Cli, ended: "Ended") -> None:
    for port, owner in ended.foreign:
        cli.out.note(f"port {port} is held by {owner}, which is none of ours")
    data: dict[str, object] = {
        "stopped": [{"name": part.name, "pid": part.pid, "how": part.how} for part in ended.parts],
        "deleted": [str(path) for path in ended.deleted],
    }
    cli.out.result(data, lambda console: _print(console, ended, ended.deleted))


def _print(console: "Console", ended: "Ended", deleted: tuple[Path, ...]) -> None:
    if not ended.parts:
        console.print("nothing was running")
    for part in ended.parts:
        console.print(Text(f"{part.name:<11}pid {part.pid:<8}{clean(part.how)}"), soft_wrap=True)
    for path in deleted:
        console.print(Text(f"deleted {path}"), soft_wrap=True)
