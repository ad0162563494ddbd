"""`stigmer down`: stops every process of the stack."""

import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.home_trust import ROOT, require_trust
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down, purge

NOTHING_DONE = "nothing was stopped, and nothing deleted"


def stop_stack(cli: Cli, *, is_purged: bool, is_agreed: bool) -> None:
    """Stop the stack and print what was stopped; `is_purged`: delete the home's data too, once a person has agreed."""
    # Trust matters only for root: the kernel lets no other user end the processes of somebody else.
    home = cli.home
    if os.geteuid() == ROOT:
        require_trust(home.path)
    if is_purged and not is_agreed:
        _ask_to_agree(cli, home)
    work = purge(home, clock=cli.clock) if is_purged else down(home, clock=cli.clock)
    _report(cli, cli.run(work))


def _ask_to_agree(cli: Cli, home: Home) -> None:
    require_person(cli, "deleting the data", hint="stigmer down --purge --yes")
    question = f"Delete all executions, agents, logs and the token in {home.path}?"
    ask_to_agree(cli, question, otherwise=NOTHING_DONE)


def _report(cli: Cli, ended: Ended) -> None:
    for port, owner in ended.foreign:
        cli.out.note(f"port {port} is held by {owner}, which does not belong to this stack")
    data: dict[str, object] = {
        "stopped": [{"name": part.name, "pid": part.pid, "how": part.how} for part in ended.parts],
        "deleted": [str(path) for path in ended.deleted],
    }
    cli.out.result(data, lambda console: _print(console, ended, ended.deleted))


def _print(console: Console, ended: Ended, deleted: tuple[Path, ...]) -> None:
    if not ended.parts:
        console.print("nothing was running")
    for part in ended.parts:
        console.print(Text(f"{part.name:<11}pid {part.pid:<8}{strip_control_sequences(part.how)}"), soft_wrap=True)
    for path in deleted:
        console.print(Text(f"deleted {path}"), soft_wrap=True)
