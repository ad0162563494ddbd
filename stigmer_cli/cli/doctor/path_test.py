"""`stigmer doctor --test`: sends an echo execution through every hop, and shows what each took or where it stopped."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import (
    AgentManifest,
    AgentResource,
    EventBody,
    ExecutionRequest,
    ExecutionResource,
    ManifestMetadata,
)
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.doctor.diagnose import find_first_failure
from stigmer_cli.cli.doctor.report import print_verdict
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.executions.create import Creation, make_creation
from stigmer_cli.cli.executions.spans import Span, draw_bars
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock, ahead_s
from stigmer_cli.doctor.path_report import WAYS, Hop, HopState, PathReport, Stop, find_next_hop, measure_hops
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import (
    ConfigError,
    Conflict,
    NotFound,
    ServerUnavailable,
    StigmerError,
    TimedOut,
    Unavailable,
)
from stigmer_cli.time_format import span

AGENT = "stigmer-test"
TEST_LABEL = "stigmer.ai/test"
LABELS = {TEST_LABEL: "path"}
MESSAGE = "stigmer doctor --test"

WAITS_S = 30.0
"""The deadline of a test without --wait; one that the server judges stuck before ends then."""

JUDGE_AFTER_S = 6.0
"""The server judges nothing that was accepted or changed less than 5 s ago."""

JUDGE_EVERY_S = 1.0
AGAIN_S = 0.2
CLEAN_UP_MAX_S = 3.0
PINGS = 3
BAR_MAX = 28
BAR_AT = 51
"""The column in which the bars begin."""

OTHERWISE = "stigmer doctor"


def test_path(cli: Cli, *, waits_s: float | None) -> int:
    """Print what each hop took, or where the execution stopped, and return the exit code: 0, or 1 if it stopped.

    With `waits_s` raises TimedOut instead if it stopped, and waits that long even for an execution that is stuck.
    """
    report = cli.run(_test(cli, waits_s))
    cli.out.result(report.to_json(), lambda console: print_path(console, report))
    if waits_s is not None and report.stop is not None:
        raise TimedOut(f"after {span(report.took_s)} still {report.verdict.message}", hint=report.verdict.hint)
    return 0 if report.is_ok else 1


def print_path(console: Console, report: PathReport) -> None:
    """Print the verdict, and a row for each hop with a bar where it lies in the whole time."""
    style = "bold green" if report.is_ok else "bold red"
    print_verdict(console, report.verdict, style=style, cause=report.cause)
    bars = _draw_bars(console, report)
    console.print(Text(f"\n  {'HOP':<10}{'WAY':<30}TOOK", style="bold"))
    for hop in Hop:
        shown = Text(f"  {hop:<10}{WAYS[hop]:<30}")
        match report.state_of(hop):
            case HopState.REACHED:
                took, bar = bars[hop]
                shown.append(f"{took:<8}").append(bar, "cyan")
            case HopState.STOPPED:
                shown.append("stopped here", "bold red")
            case HopState.NOT_REACHED:
                shown.append("-", "dim")
        shown.rstrip()
        console.print(shown, soft_wrap=True)
    if report.execution:
        console.print(Text(f"\nstigmer executions get {report.execution}", style="dim"), soft_wrap=True)


def _draw_bars(console: Console, report: PathReport) -> dict[Hop, tuple[str, str]]:
    """What each hop took, and its bar."""
    begin = report.times[0].at - timedelta(seconds=report.times[0].took_s) if report.times else None
    spans = []
    for one in report.times:
        spans.append(Span(name=one.hop, since=begin or one.at, until=one.at))
        begin = one.at
    bars = draw_bars(spans, min(BAR_MAX, console.width - BAR_AT), is_ascii=console.options.ascii_only)
    return {one.hop: (span(one.took_s), bar) for one, bar in zip(report.times, bars, strict=True)}


async def _test(cli: Cli, waits_s: float | None) -> PathReport:
    began_s = cli.clock.monotonic()
    walk = _Walk(clock=cli.clock, explain=lambda error: _explain(cli, error), waits_s=waits_s)
    try:
        async with cli.client() as client:
            await walk.run(client)
    except ConfigError:
        raise
    except StigmerError as error:
        walk.stop = walk.stop or walk.make_stop(error)
    times = measure_hops(walk.events, sent_at=walk.sent_at, seen_at=walk.seen_at)
    took_s = sum(one.took_s for one in times) if walk.stop is None else cli.clock.monotonic() - began_s
    cause = await find_first_failure(cli) if walk.stop else None
    return PathReport(execution=walk.accepted_id, times=times, stop=walk.stop, took_s=took_s, cause=cause)


def _explain(cli: Cli, error: StigmerError) -> StigmerError:
    return cli.explain(error) if isinstance(error, ServerUnavailable) else error


@dataclass(kw_only=True)
class _Walk:
    """One execution on its way. `seen_at` and `sent_at` are in the time of the clock that the events have."""

    clock: Clock
    explain: Callable[[StigmerError], StigmerError]
    waits_s: float | None
    events: list[EventBody] = field(default_factory=list)
    sent_at: datetime = field(init=False)
    seen_at: datetime | None = None
    stop: Stop | None = None
    accepted_id: str = ""
    ahead_s: float = 0.0

    def __post_init__(self) -> None:
        self.sent_at = self.clock.now()

    async def run(self, client: Client) -> None:
        """Send the execution, follow it until it ends or stops, and remove what the test needed."""
        limit_s = WAITS_S if self.waits_s is None else self.waits_s
        wanted = make_creation(
            ExecutionRequest(agent=AGENT, message=MESSAGE, labels=LABELS), key=None, require_temporal=False
        )
        async with _cleaned_up(client, wanted.id):
            try:
                async with asyncio.timeout(None if math.isinf(limit_s) else limit_s):
                    await self._send(client, wanted)
                    await self._follow(client)
            except TimeoutError:
                await self._ask_why(client)

    def make_stop(self, error: StigmerError) -> Stop:
        """The stop at the next hop because of `error`."""
        told = self.explain(error)
        return Stop(hop=self._next_hop, why=told.message, hint=told.hint)

    @property
    def _next_hop(self) -> Hop:
        return find_next_hop(measure_hops(self.events, sent_at=self.sent_at, seen_at=None))

    def _servers_time(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.ahead_s)

    async def _send(self, client: Client, wanted: Creation) -> None:
        await _apply_agent(client)
        self.ahead_s = await _compare_clocks(client, self.clock)
        self.sent_at = self._servers_time()
        try:
            accepted = await _create(client, wanted)
        except NotFound:  # another test has just ended, and removed the agent
            await _apply_agent(client)
            accepted = await _create(client, wanted)
        self.accepted_id = accepted.metadata.id

    async def _follow(self, client: Client) -> None:
        """Collect its events until it ends, through restarts of the server, or until the server judges it stuck."""
        loop = asyncio.get_running_loop()
        tasks = {loop.create_task(self._collect(client)), loop.create_task(self._judge(client))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _collect(self, client: Client) -> None:
        while True:
            try:
                async for event in client.follow(self.accepted_id, after=len(self.events)):
                    self.events.append(event)
                self.seen_at = self._servers_time()
                ended = await client.execution(self.accepted_id)
            except Unavailable:
                await self.clock.sleep(AGAIN_S)
                continue
            if ended.status.phase is not Phase.COMPLETED:
                why = f"it ended {ended.status.phase}: {ended.status.error_text or 'without a reason'}"
                self.stop = Stop(hop=Hop.FINISHED, why=why, hint=OTHERWISE, since=ended.status.completed_at)
            return

    async def _judge(self, client: Client) -> None:
        """Return once the server judges it stuck; never if the test was told how long to wait."""
        await self.clock.sleep(JUDGE_AFTER_S if self.waits_s is None else math.inf)
        while True:
            with suppress(Unavailable):
                found = await client.execution(self.accepted_id)
                if found.stuck is not None:
                    self.stop = self._describe(found)
                    return
            await self.clock.sleep(JUDGE_EVERY_S)

    async def _ask_why(self, client: Client) -> None:
        if not self.accepted_id:
            self.stop = Stop(hop=Hop.ACCEPTED, why="the server did not answer in time", hint=OTHERWISE)
            return
        try:
            async with asyncio.timeout(CLEAN_UP_MAX_S):
                self.stop = self._describe(await client.execution(self.accepted_id))
        except TimeoutError:
            self.stop = Stop(hop=self._next_hop, why="the server did not answer in time", hint=OTHERWISE)

    def _describe(self, found: ExecutionResource) -> Stop:
        """Why it does not get on, in the server's words. A hint that names it is of no use: it is cancelled."""
        stuck, status = found.stuck, found.status
        since = stuck.since if stuck else status.started_at or status.dispatch.since
        is_general = stuck is not None and found.metadata.id not in stuck.hint and OTHERWISE not in stuck.hint
        hint = stuck.hint if stuck and is_general else OTHERWISE
        return Stop(hop=self._next_hop, why=describe_reason(found), hint=hint, since=since)


async def _create(client: Client, wanted: Creation) -> ExecutionResource:
    return await client.create_execution(wanted.request, idempotency_key=wanted.key, require_temporal=False)


@asynccontextmanager
async def _cleaned_up(client: Client, execution: str) -> AsyncIterator[None]:
    """Afterwards cancel the execution if it has not ended, and delete the agent, which the next test does else."""
    try:
        yield
    finally:
        with suppress(StigmerError, TimeoutError):
            async with asyncio.timeout(CLEAN_UP_MAX_S):
                with suppress(NotFound):
                    await client.cancel_execution(execution)
                await client.delete_agent(AGENT)


async def _apply_agent(client: Client) -> None:
    """Create the agent of the test; raises Conflict if a person has an agent of that name."""
    with suppress(NotFound):
        _refuse_foreign(await client.agent(AGENT))
    manifest = AgentManifest(
        api_version="agentic.stigmer.ai/v1",
        kind="Agent",
        metadata=ManifestMetadata(name=AGENT, labels=LABELS),
    )
    await client.apply([manifest])


def _refuse_foreign(found: AgentResource) -> None:
    if found.metadata.labels.get(TEST_LABEL) != LABELS[TEST_LABEL]:
        raise Conflict(
            f"the agent {AGENT} is not the one of this test: it has no label {TEST_LABEL}",
            hint=f"stigmer agents delete {AGENT}",
        )


async def _compare_clocks(client: Client, clock: Clock) -> float:
    """By how many seconds the clock of the events is ahead of this machine's, by the quickest of some answers."""
    found: Sequence[tuple[timedelta, float]] = ()
    for _ in range(PINGS):
        asked_at = clock.now()
        await client.identity()
        answered_at = clock.now()
        if client.servers_now is not None:
            ahead = ahead_s(client.servers_now, asked_at=asked_at, answered_at=answered_at)
            found = [*found, (answered_at - asked_at, ahead)]
    return min(found)[1] if found else 0.0
