"""Sizes, times and commands as text, for the messages and hints of checks."""

import shlex
from collections.abc import Sequence
from datetime import datetime

from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.domain.stuck import NAMED_MAX
from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.precedence import layer_of
from stigmer_cli.stack.readiness import parse_time
from stigmer_cli.temporal.dev_server import find_binary
from stigmer_cli.time_format import time_of_day

KIB = 1024
IDS_SHOWN = NAMED_MAX
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def size(number: float) -> str:
    """`3.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < KIB:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= KIB
    return f"{number:.1f} TiB"


def clock_time(at: datetime | str) -> str:
    """The time of day here, as people compare it with their own clock."""
    found = parse_time(at) if isinstance(at, str) else at
    return time_of_day(found)


def list_names(names: Sequence[str], number: int) -> str:
    """The first few of `number` names, and how many more."""
    shown = names[:IDS_SHOWN]
    return ", ".join(shown) + (f" and {number - len(shown)} more" if number > len(shown) else "")


def count(number: int, noun: str) -> str:
    """`1 execution`, `2 executions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def without_named_binary(facts: Facts) -> str:
    """The command after which the temporal binary is the one that was installed with Stigmer."""
    if facts.settings.sources.get("temporal_binary") is Source.FILE:
        return f"sed -i '/^temporal_binary/d' {shlex.quote(str(facts.settings.home.config_file))}"
    return "unset STIGMER_TEMPORAL_BINARY"


def describe_origin(facts: Facts, name: str) -> str:
    """Where the setting `name` comes from while no stack runs, as the end of a sentence; empty for the default.

    A stack that runs has its settings from its start, whatever a shell says (STG116).
    """
    source = facts.settings.sources.get(name, Source.DEFAULT)
    if facts.endpoints is not None or source is Source.DEFAULT:
        return ""
    if source is Source.RECORD:
        forget = "`stigmer up --new-settings` forgets it"
        return f" ({name} is that of the last start of this stack; {forget})"
    before = facts.given.find_given(name) if facts.given else None
    is_new = before is not None and before.value != str(getattr(facts.settings, name))
    other = f"; the last start had {before.value or 'none'}" if before is not None and is_new else ""
    return f" ({name} is from {layer_of(facts.settings, name)}{other})"


def operator(facts: Facts, arguments: str) -> str:
    """The command that has Temporal's own tool do `arguments`."""
    return f"{_binary(facts.settings)} operator {arguments} --address {facts.address}"


def with_binary(facts: Facts, command: str) -> str:
    """`command`, of Temporal's own tool or another, as it can be typed here."""
    tool, _, arguments = command.partition(" ")
    return f"{_binary(facts.settings)} {arguments}" if tool == "temporal" else command


def _binary(settings: Settings) -> str:
    """The `temporal` that Stigmer uses: it need not be on the PATH."""
    try:
        return shlex.quote(str(find_binary(settings.temporal_binary)))
    except MachineError:
        return "temporal"
