"""Carries out a drill: a stack, a workload, one fault after another, and the certificate."""

import asyncio
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.drill.faults import FAULTS, FORGETS, NotPossible, Victim
from stigmer_cli.cli.drill.workload import Workload
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.stack.progress import show_progress
from stigmer_cli.cli.stack.status import observe_stack
from stigmer_cli.credential import read_token
from stigmer_cli.errors import ConfigError, NotRunning, OperationFailed, StigmerError
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import down
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.remote import refuse_elsewhere
from stigmer_cli.stack.status import StackState
from stigmer_cli.stack.up import UpContext, up
from stigmer_cli.time_format import span

PREFIX = "stigmer-drill"
KEPT = ("STIGMER_TEMPORAL_BINARY",)
"""Settings that a throw-away stack takes from the shell."""

HEAL_MAX_S = 60.0
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class DrillOptions:
    """Which faults, how many (None: each once), in which order, and where."""

    only: Sequence[str]
    number: int | None
    seed: int | None
    is_here: bool
    is_agreed: bool


@dataclass(frozen=True, kw_only=True)
class DrillRow:
    """What became of one fault; None: it was not noticed, or not healed, in time.

    `skipped` says why it could not be injected on this machine.
    """

    fault: str
    noticed_s: float | None = None
    healed_s: float | None = None
    executions: int = 0
    lost: int = 0
    twice: int = 0
    skipped: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it healed, and nothing was lost or done twice; or it could not be injected."""
        return bool(self.skipped) or self._is_healed

    @property
    def _is_healed(self) -> bool:
        return self.healed_s is not None and not self.lost and not self.twice

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "fault": self.fault,
            "ok": self.is_ok,
            "noticedS": self.noticed_s,
            "healedS": self.healed_s,
            "executions": self.executions,
            "lost": self.lost,
            "twice": self.twice,
            "skipped": self.skipped or None,
        }


def run_drill(cli: Cli, options: DrillOptions) -> int:
    """Carry it out, print the certificate, and return the exit code: 0 if every fault healed without a loss."""
    seed = secrets.randbelow(10_000) if options.seed is None else options.seed
    names = choose_faults(options, seed=seed)
    if options.is_here:
        refuse_elsewhere(cli.load_settings(), "drill")
    if not options.is_agreed:
        _ask_to_agree(cli, is_here=options.is_here)
    rows = cli.run(_drill(cli, names, is_here=options.is_here))
    is_ok = all(row.is_ok for row in rows)
    data = {"ok": is_ok, "seed": seed, "faults": [row.to_json() for row in rows]}
    cli.out.result(data, lambda console: _print_rows(console, rows, seed=seed, is_ok=is_ok))
    return 0 if is_ok else 1


def choose_faults(options: DrillOptions, *, seed: int) -> Sequence[str]:
    """The names of the faults, in their order; raises ConfigError for one that does not exist."""
    rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    for name in options.only:
        if name not in FAULTS:
            raise ConfigError(f"there is no fault {name!r}: {', '.join(FAULTS)}", hint="stigmer drill --help")
    known = options.only or [name for name in FAULTS if name != FORGETS or not options.is_here]
    if options.number is None:
        return list(dict.fromkeys(known))
    return [rng.choice(known) for _ in range(options.number)]


def _ask_to_agree(cli: Cli, *, is_here: bool) -> None:
    require_person(cli, "a drill", hint=f"stigmer drill {'--here ' if is_here else ''}--yes")
    stack = f"the parts of the stack in {cli.home.path}" if is_here else "the parts of a throw-away stack"
    ask_to_agree(cli, f"Kill and freeze {stack}?", otherwise="nothing was done")


async def _drill(cli: Cli, names: Sequence[str], *, is_here: bool) -> Sequence[DrillRow]:
    async with _stack_of(cli, is_here=is_here) as own, own.client() as client:
        workload = Workload(client=client, clock=own.clock)
        await workload.prepare()
        await workload.complete_one()
        rows = []
        for name in names:
            cli.out.note(f"{name}: injecting it")
            try:
                rows.append(await _inject(own, name, workload))
            except NotPossible as error:
                rows.append(DrillRow(fault=name, skipped=str(error)))
        await workload.remove()
        return rows


@asynccontextmanager
async def _stack_of(cli: Cli, *, is_here: bool) -> AsyncIterator[Cli]:
    """The invocation whose stack is hurt: this one, or one in a throw-away home that is removed at the end."""
    if is_here:
        found = read_endpoints(cli.home)
        if found is None or not found.owns_temporal:
            raise NotRunning(f"no stack with a Temporal of its own runs in {cli.home.path}", hint="stigmer up")
        yield cli
        return
    await _remove_leftovers(cli)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
    environ = {name: text for name, text in cli.environ.items() if not name.startswith("STIGMER_") or name in KEPT}
    own = replace(cli, environ={**environ, "STIGMER_HOME": str(folder)})
    own.out = cli.out
    try:
        around = UpContext(clock=own.clock, environ=own.environ)
        with show_progress(own.out, own.clock) as board:
            await up(own.load_own_settings(), StackOptions(auto_ports=True), progress=board, around=around)
        yield own
    finally:
        await _remove(own, folder)


async def _remove_leftovers(cli: Cli) -> None:
    """Stop and remove the throw-away stacks of drills that were killed."""
    for folder in _find_leftovers():
        cli.out.note(f"removing {folder}, which an earlier drill left")
        await _remove(cli, folder)


def _find_leftovers() -> Sequence[Path]:
    found = [(folder, folder.name.split("-")[2]) for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*")]
    return [
        folder
        for folder, pid in found
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.stat().st_uid == os.geteuid()
    ]


async def _remove(cli: Cli, folder: Path) -> None:
    with suppress(StigmerError):
        await down(Home(path=folder), clock=cli.clock)
    shutil.rmtree(folder, ignore_errors=True)


async def _inject(own: Cli, name: str, workload: Workload) -> DrillRow:
    """Inject one fault while executions are submitted, and see it noticed, healed, and nothing lost."""
    before, first, clock = _pids(own), len(workload.asked), own.clock
    loop = asyncio.get_running_loop()
    submits = loop.create_task(workload.run())
    began = clock.monotonic()
    noticing = None
    try:
        await clock.sleep(1.0)
        began = clock.monotonic()
        async with FAULTS[name](Victim(home=own.home, clock=clock)):
            noticing = loop.create_task(_notice(own, before, began))
        ended = clock.monotonic()
        healed_s = await _heal(own, workload, ended)
        noticed_s = noticing.result() if noticing.done() else None
    finally:
        for task in (submits, noticing):
            if task is not None:
                task.cancel()
        await asyncio.wait({task for task in (submits, noticing) if task is not None})
    names = workload.asked[first:]
    accepted, lost, twice = await workload.judge(names) if healed_s is not None else (len(names), len(names), 0)
    return DrillRow(fault=name, noticed_s=noticed_s, healed_s=healed_s, executions=accepted, lost=lost, twice=twice)


async def _notice(own: Cli, before: Sequence[int], began: float) -> float:
    """Seconds until the stack is reported as not ready, or the supervisor has another process in a part's place."""
    while True:
        with suppress(OperationFailed):
            if _pids(own) != before or not await _is_ready(own):
                return round(own.clock.monotonic() - began, 2)
        await own.clock.sleep(LOOK_EVERY_S)


async def _heal(own: Cli, workload: Workload, ended: float) -> float | None:
    """Seconds until the stack is ready and a new execution completes; None if that takes too long."""
    try:
        async with asyncio.timeout(HEAL_MAX_S):
            await workload.complete_one()
            while not await _is_ready(own):
                await own.clock.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return None
    return round(own.clock.monotonic() - ended, 2)


async def _is_ready(own: Cli) -> bool:
    settings = own.load_settings_or_defaults()
    found = await observe_stack(own, settings, settings.token or read_token(settings.home))
    return found.stack.state is StackState.READY


def _pids(own: Cli) -> Sequence[int]:
    victim = Victim(home=own.home, clock=own.clock)
    return [victim.pid(part) for part in (TEMPORAL, SERVER, RUNNER)]


def _print_rows(console: Console, rows: Sequence[DrillRow], *, seed: int, is_ok: bool) -> None:
    console.print(Text(f"{'FAULT':<17}{'NOTICED':>8}{'HEALED':>8}{'RUNS':>6}{'LOST':>6}{'TWICE':>7}", style="bold"))
    for row in rows:
        if row.skipped:
            console.print(Text(f"{row.fault:<17}not possible here: {row.skipped}", style="yellow"), soft_wrap=True)
            continue
        noticed = "-" if row.noticed_s is None else span(row.noticed_s)
        healed = "no" if row.healed_s is None else span(row.healed_s)
        line = f"{row.fault:<17}{noticed:>8}{healed:>8}{row.executions:>6}{row.lost:>6}{row.twice:>7}"
        console.print(Text(line, style="" if row.is_ok else "bold red"), soft_wrap=True)
    words = "every fault healed; nothing was lost, and nothing done twice" if is_ok else "the drill failed"
    console.print(Text(f"{words} (seed {seed})", style="bold green" if is_ok else "bold red"))
