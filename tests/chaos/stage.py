"""What chaos happens to: a real Temporal behind a proxy, a real server, and runners, all of which may die."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxy import Proxy
from tests.served import TOKEN, Served, make_agent
from tests.temporal_server import DevServer, die_with_parent, kill_group

AGENTS = {"greeter": "echo", "slow": "echo:slow"}


class RunnerProcess:
    """`stigmer work`, startable again after its death."""

    def __init__(self, home: Path, temporal: str, server: str, number: int) -> None:
        self.log = home / f"runner-{number}.log"
        self._environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "STIGMER_TEMPORAL_ADDRESS": temporal,
            "STIGMER_SERVER_URL": server,
            "STIGMER_TOKEN": TOKEN,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stigmer_cli.cli", "work"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None


@dataclass
class Stage:
    """Every part, each of which the nemesis may hurt."""

    temporal: DevServer
    proxy: Proxy
    server: Served
    runners: list[RunnerProcess]


@asynccontextmanager
async def stage(folder: Path, seed: int, *, runners: int = 2) -> AsyncIterator[Stage]:
    """Everything started and connected; killed at the end."""
    with DevServer(folder, file=folder / "temporal.db") as temporal:
        temporal.start()
        async with Proxy(temporal.port, random.Random(seed)) as proxy:
            server = Served(folder, proxy.address, {"STIGMER_LOG_LEVEL": "warning"})
            crew = [RunnerProcess(folder, proxy.address, server.url, number) for number in range(runners)]
            try:
                await server.start()
                async with server.client() as client:
                    for name, model in AGENTS.items():
                        await make_agent(client, name, model=model)
                for runner in crew:
                    runner.start()
                yield Stage(temporal, proxy, server, crew)
            finally:
                for runner in crew:
                    runner.kill()
                server.kill()
                await asyncio.sleep(0)
