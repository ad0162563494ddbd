"""`stigmer status`: shows the state of the stack, part by part, with an exit code for scripts."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from stigmer_cli.cli.columns import Column, make_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format, strip_control_sequences
from stigmer_cli.cli.termination import cancelled_without_reader
from stigmer_cli.credential import read_token
from stigmer_cli.settings import Home, HomeSource, Settings, find_doubts
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.gone_programs import WAY_OUT, describe_gone
from stigmer_cli.stack.remote import find_server_elsewhere
from stigmer_cli.stack.remote_status import remote_status
from stigmer_cli.stack.status import PartStatus, StackStatus, status
from stigmer_cli.time_format import span

LOOK_EVERY_S = 1.0
CHANGES_SHOWN = 3
"""Changes of the server's connection to Temporal that are shown without --verbose, if there are two or more."""

COLUMNS = (
    Column(name="PART", rank=0),
    Column(name="STATE", rank=0),
    Column(name="PID", rank=1),
    Column(name="UPTIME", rank=4),
    Column(name="RESTARTS", rank=3),
    Column(name="PORTS", rank=2),
)

STYLES = {
    "ready": "green",
    "running": "green",
    "external": "green",
    "busy": "yellow",
    "degraded": "yellow",
    "not-ready": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "failed": "red",
    "stopped": "dim",
    "unreachable": "red",
}


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    """The state of the stack, with the last changes of the server's connection to Temporal as lines."""

    stack: StackStatus
    home: Home

    def to_json(self) -> dict[str, object]:
        """The JSON object that scripts may rely on."""
        connection = dict(self.stack.connection) or None
        return {**self.stack.to_json(), "homeSource": self.home.source, "connection": connection}

    @property
    def changes(self) -> Sequence[str]:
        """The connection's changes as lines, oldest first."""
        history = self.stack.connection.get("history")
        return [_format_change(one) for one in history if isinstance(one, dict)] if isinstance(history, list) else []


def show_status(cli: Cli, *, is_verbose: bool, is_watched: bool) -> int:
    """Print the state of the stack and return the exit code; `is_watched`: print every change until Ctrl-C."""
    settings = cli.load_settings_or_defaults()
    token = settings.token or (None if settings.distrust else read_token(settings.home))
    if is_watched:
        cli.run(_watch(cli, settings, token))
        return 0
    found = cli.run(observe_stack(cli, settings, token))
    cli.out.result(
        found.to_json(), lambda console: console.print(_draw_page(found, console.width, is_verbose=is_verbose))
    )
    return found.stack.exit_code


async def observe_stack(cli: Cli, settings: Settings, token: str | None) -> StatusPage:
    """The state of this home's stack, or of the server elsewhere that `settings` name."""
    url = find_server_elsewhere(settings, read_endpoints(settings.home))
    if url is not None:
        return StatusPage(stack=await remote_status(url, settings, token=token), home=settings.home)
    return StatusPage(stack=await status(settings, token=token, clock=cli.clock), home=settings.home)


async def _watch(cli: Cli, settings: Settings, token: str | None) -> None:
    """Show a live page on a terminal, one line a change elsewhere, until Ctrl-C."""
    if cli.out.format is Format.TABLE and cli.out.is_interactive:
        with Live(console=cli.out.stdout, auto_refresh=False) as live:
            while True:
                found = await observe_stack(cli, settings, token)
                live.update(_draw_page(found, live.console.width, is_verbose=False), refresh=True)
                await asyncio.sleep(LOOK_EVERY_S)
    with cancelled_without_reader():
        await _print_changes(cli, settings, token)


async def _print_changes(cli: Cli, settings: Settings, token: str | None) -> None:
    told = ""
    while True:
        found = await observe_stack(cli, settings, token)
        line = _format_line(found.stack)
        if line != told:
            told = line
            cli.out.raw(line + "\n") if cli.out.format is Format.TABLE else _print_json(cli, found)
        await asyncio.sleep(LOOK_EVERY_S)


def _print_json(cli: Cli, found: StatusPage) -> None:
    cli.out.raw(json.dumps(found.to_json(), ensure_ascii=False) + "\n")


def _format_line(found: StackStatus) -> str:
    parts = (
        f"{part.name} {part.state}{f' ({strip_control_sequences(part.detail)})' if part.detail else ''}"
        for part in found.parts
    )
    return f"{found.state}: {', '.join(parts)}"


def _draw_page(shown: StatusPage, room: int, *, is_verbose: bool) -> RenderableType:
    found = shown.stack
    table = make_table(COLUMNS, [_format_row(part) for part in found.parts], room)
    what = "server elsewhere: " if found.elsewhere else "stack: "
    rows: list[RenderableType] = [Text.assemble(what, (found.state, STYLES[found.state])), table]
    rows += [Text(line) for part in found.parts for line in list_remarks(part)]
    rows += [Text(f"because: {strip_control_sequences(reason)}", style="yellow") for reason in found.reasons]
    changes = shown.changes if is_verbose else shown.changes[-CHANGES_SHOWN:] if len(shown.changes) > 1 else []
    if changes:
        rows += [Text("connection to Temporal:"), *(Text(f"  {line}", style="dim") for line in changes)]
    if shown.home.source is not HomeSource.DEFAULT and not found.elsewhere:
        rows.append(Text(f"home {strip_control_sequences(shown.home.shown)}"))
    if found.elsewhere:
        rows.append(Text(f"server {strip_control_sequences(found.elsewhere)}"))
        rows += [] if found.exit_code == 0 else [Text.assemble(("hint: ", "cyan"), "stigmer doctor")]
    else:
        rows += _list_ways_out(found, shown.home)
    return Group(*rows)


def _list_ways_out(found: StackStatus, home: Home) -> list[RenderableType]:
    """Where a ready stack of this machine is found; otherwise, and if it cannot be restarted, what to type."""
    rows: list[RenderableType] = []
    if found.exit_code == 0:
        rows += [Text(f"server {found.endpoints.server_url}"), Text(f"web UI {found.endpoints.ui_url or 'off'}")]
    hint = "stigmer doctor, or stigmer up" if any(part.pid for part in found.parts) else "stigmer up"
    if found.gone:
        rows.append(Text(f"warning: {strip_control_sequences(describe_gone(found.gone))}", style="yellow"))
        hint = WAY_OUT
    elif doubts := find_doubts(home):
        hint = doubts[0].fix  # `up` refuses the home, too
    return rows if found.exit_code == 0 and not found.gone else [*rows, Text.assemble(("hint: ", "cyan"), hint)]


def _format_row(part: PartStatus) -> list[Text]:
    return [
        Text(part.name),
        Text(part.state, style=STYLES[part.state]),
        Text(str(part.pid or "-")),
        Text("-" if part.uptime_s is None else span(int(part.uptime_s))),
        Text(str(part.restarts)),
        Text(" ".join(map(str, part.ports)) or "-"),
    ]


def list_remarks(part: PartStatus) -> list[str]:
    """Lines that say why a part is not running, how it last ended, and when it is next tried."""
    found = [f"{part.name}: {strip_control_sequences(part.detail)}"] if part.detail else []
    if part.last_exit and part.last_exit.why not in part.detail:
        found.append(f"{part.name} ended at {part.last_exit.at}: {strip_control_sequences(part.last_exit.why)}")
    if part.next_try_at:
        found.append(f"{part.name} is tried again at {part.next_try_at}")
    return found


def _format_change(change: Mapping[str, object]) -> str:
    cause = f": {change['cause']}" if change.get("cause") else ""
    return strip_control_sequences(f"{change.get('at')} {change.get('before')} to {change.get('after')}{cause}")
