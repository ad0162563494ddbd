"""The stack of a chaos run: a real Temporal behind a proxy, a real server, and runners, each of which may die."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stigmer_cli.client import Client
from tests.chaos.decider import Decider
from tests.chaos.ledger import LedgerFiles
from tests.chaos.proxy import Proxy
from tests.chaos.recording_runner import LEDGER, PARKED
from tests.chaos.tool_agents import SERVER, TOOL_AGENTS
from tests.chaos.tool_server import EFFECTS as EFFECTS_PATH
from tests.chaos.workflow_documents import WORKFLOWS
from tests.chaos.workload import AGENTS, TOOLS_SHARE, Workload
from tests.support.clock_shim import ClockShim
from tests.support.running_server import TOKEN, Served, make_agent
from tests.support.temporal_server import DevServer, die_with_parent, free_port, kill_group

NAMESPACE = "chaos"
EFFECTS = "effects.jsonl"

RESTART_EVERY_S = 0.1
SIDES = ("", "-wal", "-shm")


class RecordingRunnerProcess:
    """`stigmer work` with a ledger, startable again after its death.

    `package` is the folder of the copy of the package that it starts from next; None: from the package itself.
    """

    def __init__(
        self, home: Path, temporal: str, server: str, number: int, *, more: Mapping[str, str] | None = None
    ) -> None:
        self.log = home / f"runner-{number}.log"
        self.package: Path | None = None
        self._environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "STIGMER_TEMPORAL_ADDRESS": temporal,
            "STIGMER_TEMPORAL_NAMESPACE": NAMESPACE,
            "STIGMER_SERVER_URL": server,
            "STIGMER_TOKEN": TOKEN,
            LEDGER: str(home / "ledger.jsonl"),
            **(more or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, is_parked: bool = False) -> None:
        """Start it and return at once; parked, its first worker never polls."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.recording_runner"],
                cwd=self.package,
                env={**self._environment, **({PARKED: "1"} if is_parked else {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    @property
    def has_gone(self) -> bool:
        """Whether it was started and ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None


class ToolServerProcess:
    """The tool server that agents reach over HTTP, startable again on its port after its death."""

    def __init__(self, home: Path, ledger: Path) -> None:
        self.port = free_port()
        self._log, self._ledger = home / "tool-server.log", ledger
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where agents reach it."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def effects_url(self) -> str:
        """Where workflows reach it."""
        return f"http://127.0.0.1:{self.port}{EFFECTS_PATH}"

    def start(self) -> None:
        """Start it and return at once; nothing if it runs."""
        if self.process is None:
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SERVER), str(self._ledger), str(self.port)],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
                )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None


@dataclass
class Harness:
    """Every part that the nemesis may hurt, the workload, and the person who decides about calls.

    `other_temporal` lacks the namespace; it is started by the fault that needs it. `forgotten` are the executions whose
    history the nemesis deleted from Temporal.
    """

    folder: Path
    temporal: DevServer
    other_temporal: DevServer
    proxy: Proxy
    server: Served
    runners: list[RecordingRunnerProcess]
    tools: ToolServerProcess
    client: Client
    workload: Workload
    decider: Decider
    clocks: ClockShim
    forgotten: set[str] = field(default_factory=set)

    @property
    def ledger(self) -> Path:
        """The record of what the runners performed."""
        return self.folder / "ledger.jsonl"

    @property
    def ledgers(self) -> LedgerFiles:
        """The records of what runners and tools performed."""
        return LedgerFiles(models=self.ledger, tools=self.folder / EFFECTS)

    def keep_database(self) -> None:
        """Copy the database of a Temporal that is not running."""
        older = self.folder / "older"
        shutil.rmtree(older, ignore_errors=True)
        older.mkdir()
        for side in SIDES:
            if (self.folder / f"temporal.db{side}").exists():
                shutil.copy2(self.folder / f"temporal.db{side}", older)

    def bring_back_older_database(self) -> None:
        """Replace the database of a Temporal that is not running by that copy."""
        self.temporal.forget()
        for file in (self.folder / "older").iterdir():
            shutil.copy2(file, self.folder)


@asynccontextmanager
async def running_harness(
    folder: Path,
    seed: int,
    *,
    executions: int = 0,
    tools_share: float = TOOLS_SHARE,
    workflows_share: float = 0.0,
    runners: int = 2,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Harness]:
    """Start everything, and kill it at the end. `settings` are additional variables of the server."""
    rng, clocks = random.Random(seed), ClockShim(folder)
    temporal = DevServer(folder, file=folder / "temporal.db", namespace=NAMESPACE)
    with temporal, DevServer(folder) as other:
        await asyncio.to_thread(temporal.start)
        async with Proxy(temporal.port, rng) as proxy:
            fixed = {"STIGMER_LOG_LEVEL": "warning", "STIGMER_TEMPORAL_NAMESPACE": NAMESPACE}
            server = Served(folder, proxy.address, fixed | dict(settings or {}) | dict(clocks.environment))
            around = (folder, proxy.address, server.url)
            pool = [RecordingRunnerProcess(*around, number, more=clocks.environment) for number in range(runners)]
            tools = ToolServerProcess(folder, folder / EFFECTS)
            try:
                tools.start()
                await server.start()
                async with server.client() as client, _restarted(pool):
                    await _make_agents(client, folder, tools)
                    for runner in pool:
                        runner.start()
                    workload = Workload(client, rng, executions, tools_share, workflows_share)
                    parts = (temporal, other, proxy, server, pool, tools)
                    async with Decider(client, random.Random(seed)).deciding() as decider:
                        yield Harness(folder, *parts, client, workload, decider, clocks)
            finally:
                tools.kill()
                for runner in pool:
                    runner.kill()
                server.kill()
                await asyncio.sleep(0)


async def _make_agents(client: Client, folder: Path, tools: ToolServerProcess) -> None:
    for name, model in AGENTS.items():
        await make_agent(client, name, model=model)
    await client.apply([agent.manifest(folder, folder / EFFECTS, tools.url) for agent in TOOL_AGENTS.values()])
    manifests = [workflow.manifest(folder / EFFECTS, tools.effects_url) for workflow in WORKFLOWS.values()]
    await client.apply_workflows(manifests, [])


@asynccontextmanager
async def _restarted(pool: list[RecordingRunnerProcess]) -> AsyncIterator[None]:
    """Within the block, a runner that ended by itself is started again, as the supervisor does."""
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(_restart_dead(pool), name="keeper")
        try:
            yield
        finally:
            keeper.cancel()


async def _restart_dead(pool: list[RecordingRunnerProcess]) -> None:
    while True:
        for runner in pool:
            if runner.has_gone:
                runner.kill()
                runner.start()
        await asyncio.sleep(RESTART_EVERY_S)
