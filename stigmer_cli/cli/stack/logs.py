"""`stigmer logs [PART...]`: prints the log lines of the parts, merged by time, also after `down`."""

import json
from collections.abc import Sequence
from datetime import date, datetime

from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format, Output, strip_control_sequences
from stigmer_cli.cli.parameters import read_moment
from stigmer_cli.cli.termination import cancelled_without_reader
from stigmer_cli.errors import MachineError, NotRunning, reason_of
from stigmer_cli.settings import Home
from stigmer_cli.stack.logs import Follower, Line, have_logs, read_lines, select_parts
from stigmer_cli.stack.remote import refuse_elsewhere

COLOURS = {"supervisor": "magenta", "temporal": "blue", "server": "green", "runner": "yellow"}
QUIET = ("timestamp", "time", "ts", "level", "event", "msg", "part")


def show_logs(cli: Cli, parts: Sequence[str], *, since: str | None, tail: int | None, is_followed: bool) -> None:
    """Print the lines of `parts`, of all if none is named; `is_followed`: then new ones until Ctrl-C.

    Raises ConfigError for an unknown part or a `since` that is no time, MachineError for a log that cannot be read, and
    NotRunning if none of the parts was ever started here, unless lines are to be followed.
    """
    settings = cli.load_settings_or_defaults()
    refuse_elsewhere(settings, "stigmer logs")
    names = select_parts(parts)
    oldest = read_moment("--since", since, cli.clock.now(), hint="stigmer logs --help")
    try:
        _show(cli, settings.home, names, oldest, tail, is_followed=is_followed)
    except (PermissionError, IsADirectoryError) as error:  # as after `sudo stigmer up`
        raise MachineError(f"cannot read {error.filename}: {reason_of(error)}", hint="stigmer doctor") from error


def _show(
    cli: Cli, home: Home, names: tuple[str, ...], oldest: datetime | None, tail: int | None, *, is_followed: bool
) -> None:
    if not have_logs(home, names):
        if not is_followed:
            raise NotRunning(f"there are no logs in {home.logs}: nothing was ever started", hint="stigmer up")
        cli.out.note(f"waiting for the first line in {home.logs}")
    if is_followed:
        cli.run(_follow(cli, home, names, oldest, tail))
        return
    printer = Printer(cli.out, today=cli.clock.now())
    for line in read_lines(home, names, since=oldest, tail=tail):
        printer.show(line)


async def _follow(cli: Cli, home: Home, names: tuple[str, ...], oldest: datetime | None, tail: int | None) -> None:
    """Print the existing lines, then new ones until Ctrl-C, each exactly once."""
    printer = Printer(cli.out, today=cli.clock.now())
    with Follower(home, names) as follower, cancelled_without_reader():
        for line in read_lines(home, names, since=oldest, tail=tail, ends=follower.ends):
            printer.show(line)
        async for line in follower.lines(clock=cli.clock):
            printer.show(line)


class Printer:
    """Prints log lines: each as a JSON object, or as the part in its colour and the line unwrapped.

    A line of another day than `today`, in local time, has its date.
    """

    def __init__(self, out: Output, *, today: datetime) -> None:
        self._out = out
        self._today = today.astimezone().date()

    def show(self, line: Line) -> None:
        """Print one line."""
        if self._out.format is not Format.TABLE:
            self._out.raw(json.dumps(line.to_json(), ensure_ascii=False) + "\n")
            return
        text = Text.assemble((f"{line.part:<11}", COLOURS.get(line.part, "")), format_line(line, self._today))
        self._out.stdout.print(text, soft_wrap=True)


def format_line(line: Line, today: date) -> str:
    """A structured line as time, level, event and name=value; any other line unchanged."""
    if not isinstance(line.to_json()["event"], dict):
        return describe_line(line)
    at = line.shown_at.astimezone()
    day = "" if at.date() == today else f"{at:%Y-%m-%d} "
    return day + f"{at:%H:%M:%S.%f}"[:12] + f" {describe_line(line)}"


def describe_line(line: Line) -> str:
    """A structured line as level, event and name=value, without its time; any other line unchanged."""
    event = line.to_json()["event"]
    if not isinstance(event, dict):
        return strip_control_sequences(line.text)
    level = str(event.get("level", "")).upper()
    head = str(event.get("event") or event.get("msg") or "")
    rest = " ".join(
        f"{name}={_format_value(value)}"
        for name, value in event.items()
        if name not in QUIET and value not in ("", None, [], {})
    )
    return strip_control_sequences(f"{level:<7} {head} {rest}".rstrip())


def _format_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
