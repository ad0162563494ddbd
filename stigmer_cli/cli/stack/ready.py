"""Prints where a ready stack listens, what to type next, and which settings are not in effect yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Output, strip_control_sequences
from stigmer_cli.cli.stack.timings import print_timings
from stigmer_cli.credential import read_token
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.settings import Home
from stigmer_cli.stack.differences import takeover_command
from stigmer_cli.stack.gone_programs import WAY_OUT, describe_gone, find_gone_programs
from stigmer_cli.stack.parts import SUPERVISOR
from stigmer_cli.stack.precedence import layer_of, take_back
from stigmer_cli.stack.server_probe import ServerProbe
from stigmer_cli.stack.start_timings import PartTimings
from stigmer_cli.stack.status import LOOK_MAX_S
from stigmer_cli.stack.up import Ready
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.time_format import span

READY = "ready"
UI_OFF = "Temporal's web UI is off: there is only 127.0.0.1 here, where any web page could reach it; stigmer up --ui"
IN_REACH = "any web page can reach Temporal's web UI here, and start and end workflows; without it: stigmer up --no-ui"


def print_ready(
    out: Output,
    ready: Ready,
    home: Home,
    *,
    then: Sequence[str],
    before: SupervisorRecord | None = None,
    timings: Sequence[PartTimings] | None = None,
) -> None:
    """Print the addresses and folders of the stack in `home`, and what to type next: the commands `then`.

    `before` is the record of the stack that was restarted: each part is named with its old and its new pid. `timings`
    says where the time of the start went; None: not asked for.
    """
    found = ready.endpoints
    if found.owns_temporal and found.ui_source is None:
        out.warning(IN_REACH if found.ui_port else UI_OFF)
    replaced = _list_replaced(before, ready.record) if before is not None else []
    data: dict[str, object] = {
        "state": READY,
        "started": list(ready.started),
        "serverUrl": found.server_url,
        "temporalAddress": found.temporal_address,
        "temporalUiUrl": found.ui_url,
        "namespace": found.namespace,
        "ephemeral": found.ephemeral,
        "home": str(ready.home),
        "homeSource": home.source,
        "logs": str(ready.logs),
        "tookS": round(ready.took_s, 3),
        **({"restarted": [one.to_json() for one in replaced]} if before is not None else {}),
        "changes": [change.to_json() for change in ready.changes],
        "pending": [change.to_json() for change in ready.pending],
    }
    if timings is not None:
        data["timings"] = [part.to_json() for part in timings]
    out.result(data, lambda console: _print_places(console, ready, home, replaced, then, timings or ()))


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A part with its process before a restart and now; None where it had none."""

    part: str
    before: int | None
    now: int | None

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {"part": self.part, "pidBefore": self.before, "pid": self.now}


def _list_replaced(before: SupervisorRecord, now: SupervisorRecord) -> Sequence[Replaced]:
    """The parts whose process is another one than before."""
    old, new = ({child.name: child.id for child in one.children} for one in (before, now))
    old, new = {SUPERVISOR: before.id, **old}, {SUPERVISOR: now.id, **new}
    return [
        Replaced(part=name, before=was.pid if (was := old.get(name)) else None, now=identity.pid if identity else None)
        for name, identity in new.items()
        if old.get(name) != identity
    ]


def tell_pending(out: Output, ready: Ready) -> None:
    """Print which settings of this shell differ from those of the running stack, and how to apply them."""
    if ready.pending:
        out.note("the stack keeps the settings it was started with; those of this shell differ:")
        for change in ready.pending:
            out.note(f"  {change}")
        out.hint(f"{takeover_command(ready.pending)} applies them")


def tell_elsewhere(cli: Cli, ready: Ready) -> None:
    """Print that the commands of this shell talk to another server than that of the stack, if a setting says so."""
    settings = cli.load_settings_or_defaults()
    if settings.server_url and settings.server_target != ready.endpoints.server_url:
        layer = layer_of(settings, "server_url")
        cli.out.note(f"other commands talk to {settings.server_target}, which {layer} names, and not to this stack")
        cli.out.hint(take_back(settings, "server_url"))


def tell_outdated(cli: Cli, ready: Ready) -> None:
    """Print that parts which run are of another version than the installed one, or that theirs is gone."""
    gone = find_gone_programs(ready.record)
    if gone:
        cli.out.warning(describe_gone(gone))
        cli.out.hint(WAY_OUT)
    elif not ready.started:
        _tell_version(cli, ready)


def _tell_version(cli: Cli, ready: Ready) -> None:
    settings = cli.load_settings_or_defaults()
    token = settings.token or (None if settings.distrust else read_token(settings.home))
    seen = cli.run(ServerProbe(ready.endpoints.server_url, token).observe(LOOK_MAX_S))
    if seen.version and seen.version != RUNNING_VERSION:
        cli.out.note(f"the server that runs is {seen.version}, and this command is {RUNNING_VERSION}")
        cli.out.hint(f"{WAY_OUT} starts this version")


def _print_places(
    console: Console,
    ready: Ready,
    home: Home,
    replaced: Sequence[Replaced],
    then: Sequence[str],
    timings: Sequence[PartTimings],
) -> None:
    found = ready.endpoints
    verdict = f"ready in {span(ready.took_s)}" if ready.started else "already running; nothing was changed"
    console.print(Text(f"Stigmer is {verdict}", style="bold"))
    for one in replaced:
        console.print(Text(f"  {one.part:<10} pid {one.before or '-'} -> {one.now or '-'}"), soft_wrap=True)
    rows = [
        ("server", found.server_url),
        ("temporal", found.temporal_address),
        ("web UI", found.ui_url or "off"),
        ("home", home.shown),
        ("logs", str(ready.logs)),
    ]
    for name, place in rows:
        console.print(Text(f"  {name:<9} {strip_control_sequences(place)}"), soft_wrap=True)
    if timings:
        print_timings(console, timings)
    console.print("next:")
    for line in then:
        console.print(Text(f"  {strip_control_sequences(line)}"), soft_wrap=True)
    console.print("stigmer down stops it")
