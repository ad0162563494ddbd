"""Faults of identity, Y1 and Y3: another home on the same Temporal, and runners with another server.

Each brings its own parts and removes them at its end; by then, the other parts must have done the work that it took.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from stigmer_cli.client import Client
from stigmer_cli.runner.server_link import LinkState
from tests.chaos import ledger
from tests.chaos.fault import RARE, Fault
from tests.chaos.harness import NAMESPACE, Harness, RecordingRunnerProcess
from tests.chaos.recording_runner import LEDGER
from tests.chaos.workload import SLOW, WorkloadRequest
from tests.support.http_relay import Relay
from tests.support.machine_load import slack
from tests.support.polling import eventually, until_true
from tests.support.running_server import accept, make_agent, served

STARTS_MAX_S = 20.0
DONE_MAX_S = 30.0
AT_ONCE = 6
LOOK_S = 0.2
WATCHED_S = 2.5
"""Longer than a runner may poll without a server that knows it."""

TUNNEL = {"STIGMER_INSECURE_HTTP": "true"}
"""A server that is reached over a relay cannot prove itself."""


def _new_home(harness: Harness) -> Path:
    return Path(tempfile.mkdtemp(prefix="home-", dir=harness.folder))


@asynccontextmanager
async def _runner(
    harness: Harness, home: Path, server: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[RecordingRunnerProcess]:
    runner = RecordingRunnerProcess(home, harness.proxy.address, server, 90, more=settings)
    runner.start()
    try:
        yield runner
    finally:
        runner.kill()


def _says(runner: RecordingRunnerProcess, event: str) -> bool:
    return f'"{event}"' in runner.log.read_text(errors="replace")


async def _until_seen(runner: RecordingRunnerProcess) -> None:
    await until_true(lambda: _says(runner, "worker_seen"), within_s=STARTS_MAX_S * slack(), what="its worker")


async def _until_done(client: Client, names: Sequence[str], *, what: str) -> None:
    async def are_done() -> bool:
        await asyncio.sleep(LOOK_S)
        return all([(await client.execution(name)).status.phase.is_terminal for name in names])

    await eventually(are_done, within_s=DONE_MAX_S * slack(), what=what)


async def _until_requests_done(harness: Harness, requests: Sequence[WorkloadRequest], *, what: str) -> None:
    await until_true(lambda: all(wanted.ids for wanted in requests), within_s=DONE_MAX_S * slack(), what="their ids")
    await _until_done(harness.client, [name for wanted in requests for name in wanted.ids], what=what)


async def _second_home(harness: Harness, _rng: random.Random) -> None:
    """Another store, server and runner on the same Temporal and namespace: each performs its own, and nothing else."""
    home = _new_home(harness)
    settings = {"STIGMER_LOG_LEVEL": "warning", "STIGMER_TEMPORAL_NAMESPACE": NAMESPACE}
    try:
        async with (
            served(home, harness.proxy.address, settings) as server,
            server.client() as client,
            _runner(harness, home, server.url) as runner,
        ):
            await server.until()
            await make_agent(client)
            await _until_seen(runner)
            requests = harness.workload.request(AT_ONCE)
            theirs = [(await accept(client, f"theirs-{number}")).metadata.id for number in range(AT_ONCE)]
            await _until_done(client, theirs, what="what the second home accepted")
            await _until_requests_done(harness, requests, what="what the first home accepted meanwhile")
            assert ledger.read(home / "ledger.jsonl").keys() == set(theirs), "the second runner performed other work"
            assert not ledger.read(harness.ledger).keys() & set(theirs), "work of the second home was performed here"
    finally:
        shutil.rmtree(home)


async def _wrong_token(harness: Harness, _rng: random.Random) -> None:
    """One more runner, whose token the server does not know: it takes nothing."""
    home = _new_home(harness)
    async with _runner(harness, home, harness.server.url, {"STIGMER_TOKEN": "another-token"}) as runner:
        await until_true(lambda: _says(runner, LinkState.REFUSED), within_s=STARTS_MAX_S * slack(), what="its refusal")
        requests = harness.workload.request(AT_ONCE)
        await asyncio.sleep(WATCHED_S)
        await _until_requests_done(harness, requests, what="what was accepted beside it")
        assert not _says(runner, "worker_seen"), "a runner that its server refuses polls"
        assert not ledger.read(home / "ledger.jsonl"), "a runner that its server refuses performs"


async def _server_gone(harness: Harness, _rng: random.Random) -> None:
    """One more runner, whose way to the server ends for good while it performs: others do what it cannot report."""
    assert harness.server.process is not None
    home = _new_home(harness)
    with Relay(harness.server.port) as way:
        async with _runner(harness, home, way.url, TUNNEL | {LEDGER: str(harness.ledger)}) as runner:
            await _until_seen(runner)
            requests = [*harness.workload.request(AT_ONCE, SLOW)]
            await asyncio.sleep(0.3)
            await asyncio.to_thread(way.stop)
            requests += harness.workload.request(AT_ONCE)
            await until_true(
                lambda: _says(runner, "worker_without_server"), within_s=STARTS_MAX_S, what="the end of its polling"
            )
            await _until_requests_done(harness, requests, what="what the other runners can do")


IDENTITY: tuple[Fault, ...] = (
    Fault(name="Y1 second home", inject=_second_home, lasts_s=(0.0, 0.0), weight=RARE),
    Fault(name="Y3 wrong token", inject=_wrong_token, lasts_s=(0.0, 0.0), weight=RARE),
    Fault(name="Y3 server gone for good", inject=_server_gone, lasts_s=(0.0, 0.0), weight=RARE),
)
