"""A real server process, on a free port, with a home and a Temporal address of the test's choice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from stigmer_cli.api.agent_spec import ManifestSpec
from stigmer_cli.api.resources import (
    AgentManifest,
    ExecutionRequest,
    ExecutionResource,
    ManifestMetadata,
)
from stigmer_cli.client import Client
from stigmer_cli.errors import ServerBusy
from stigmer_cli.server_proof import Token
from tests.support.polling import eventually
from tests.support.temporal_server import die_with_parent, free_port, kill_group

TOKEN = "token-of-a-test"
READY_MAX_S = 20.0


class Served:
    """`stigmer serve`, startable, killable and startable again on the same home."""

    def __init__(
        self, home: Path, temporal: str, settings: Mapping[str, str] | None = None, *, token: Token = lambda: TOKEN
    ) -> None:
        self.token = token
        self.home = home
        self.port = free_port()
        self.log = home / "server.log"
        self._environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "STIGMER_SERVER_PORT": str(self.port),
            "STIGMER_TEMPORAL_ADDRESS": temporal,
            "STIGMER_TOKEN": TOKEN,
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "https" if "STIGMER_TLS_CERT_FILE" in self._environment else "http"
        return f"{scheme}://{self._environment.get('STIGMER_LISTEN', '127.0.0.1')}:{self.port}"

    def client(self) -> Client:
        """A client with its token; close it."""
        return Client(self.url, self.token, ca_file=self._environment.get("STIGMER_SERVER_CA_FILE"))

    def spawn(self) -> None:
        """Start the process and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stigmer_cli.cli", "serve"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    async def start(self) -> None:
        """Start the process and return when it accepts executions."""
        self.spawn()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Return when it accepts executions; fails with its log when it does not."""
        deadline = time.monotonic() + READY_MAX_S
        async with self.client() as client:
            while not await client.ready():
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                await asyncio.sleep(0.02)

    async def until(self, state: str = "CONNECTED") -> None:
        """Return when its connection to Temporal is in `state`."""
        async with self.client() as client:

            async def reached() -> bool:
                return (await client.health()).temporal.state == state

            await eventually(reached, within_s=READY_MAX_S, what=state)

    def kill(self) -> None:
        """SIGKILL; nothing if it does not run."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@asynccontextmanager
async def served(
    home: Path, temporal: str, settings: Mapping[str, str] | None = None, *, token: Token = lambda: TOKEN
) -> AsyncIterator[Served]:
    """A server that is ready, and killed at the end."""
    server = Served(home, temporal, settings, token=token)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


async def make_agent(client: Client, name: str = "greeter", *, model: str = "echo") -> None:
    """Apply one agent, asking again where the server says that it is busy, as a command does."""
    manifest = AgentManifest(
        api_version="agentic.stigmer.ai/v1",
        kind="Agent",
        metadata=ManifestMetadata(name=name),
        spec=ManifestSpec(description="greets", model=model),
    )
    while True:
        try:
            await client.apply([manifest])
        except ServerBusy as busy:
            await asyncio.sleep(busy.retry_after_s)
        else:
            return


async def accept(
    client: Client, key: str, *, agent: str = "greeter", message: str = "hello", require_temporal: bool = False
) -> ExecutionResource:
    """Have one execution of `agent` accepted; tries again, as commands do, while the server is busy."""
    request = ExecutionRequest(agent=agent, message=message)
    while True:
        try:
            return await client.create_execution(request, idempotency_key=key, require_temporal=require_temporal)
        except ServerBusy as error:
            await asyncio.sleep(error.retry_after_s)
