"""`stigmer logs [PART...]`: what the parts wrote, merged by time; kept after `down`."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, Output, clean
from stigmer_cli.settings import Home

if TYPE_CHECKING:
    from stigmer_cli.stack.logs import Line

COLOURS = {"supervisor": "magenta", "temporal": "blue", "server": "green", "runner": "yellow"}
QUIET = ("timestamp", "time", "ts", "level", "event", "msg", "part")


def logs(
    ctx: typer.Context,
    parts: Annotated[
        list[str] | None, typer.Argument(help="supervisor, temporal, server, runner; all by default.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    since: Annotated[str | None, typer.Option(metavar="SPAN", help="Not older than 90s, 10m, 1h30m, 2d.")] = None,
    tail: Annotated[int | None, typer.Option(min=0, metavar="N", help="The last N lines of each part.")] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="json prints one object a line.")] = Format.TABLE,
) -> None:
    """Show the log lines of the parts, oldest first."""
    from stigmer_cli.stack.logs import chosen, read_lines, span_s  # noqa: PLC0415 - not for --help
    from stigmer_cli.stack.remote import refuse_elsewhere  # noqa: PLC0415

    cli = cli_of(ctx)
    out = cli.show(output)
    settings = cli.settings_at_any_rate()
    refuse_elsewhere(settings, "stigmer logs")
    home = settings.home
    names = chosen(parts or [])
    oldest = cli.clock.now() - timedelta(seconds=span_s(since)) if since else None
    printer = Printer(out, is_json=output is not Format.TABLE)
    if follow:
        cli.run(_follow(cli, home, names, oldest, tail))
        return
    for line in read_lines(home, names, since=oldest, tail=tail):
        printer.show(line)


async def _follow(cli: Cli, home: Home, names: tuple[str, ...], oldest: datetime | None, tail: int | None) -> None:
    """The lines that are there, then the new ones, none of them twice and none left out, until Ctrl-C."""
    from stigmer_cli.stack.logs import Follower, read_lines  # noqa: PLC0415 - not for --help

    printer = Printer(cli.out, is_json=cli.out.format is not Format.TABLE)
    with Follower(home, names) as follower:
        for line in read_lines(home, names, since=oldest, tail=tail, ends=follower.ends):
            printer.show(line)
        async for line in follower.lines(clock=cli.clock):
            printer.show(line)


class Printer:
    """Prints one line after the other: an object each, or the part in its colour and the line without its wrapping."""

    def __init__(self, out: Output, *, is_json: bool) -> None:
        self._out, self._is_json = out, is_json

    def show(self, line: "Line") -> None:
        """Print one line."""
        if self._is_json:
            self._out.raw(json.dumps(line.to_json(), ensure_ascii=False) + "\n")
            return
        text = Text.assemble((f"{line.part:<11}", COLOURS.get(line.part, "")), _words(line))
        self._out.stdout.print(text, soft_wrap=True)


def _words(line: "Line") -> str:
    """A line as a person reads it: time, level, event, the rest as name=value; other lines as they are."""
    event = line.to_json()["event"]
    if not isinstance(event, dict):
        return clean(line.text)
    level = str(event.get("level", "")).upper()
    head = str(event.get("event") or event.get("msg") or "")
    rest = " ".join(f"{name}={_value(value)}" for name, value in event.items() if name not in QUIET)
    return clean(f"{line.shown_at.astimezone():%H:%M:%S.%f}"[:12] + f" {level:<7} {head} {rest}".rstrip())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
