"""One Temporal, one server and two runners for many tests, with failpoints that a test may arm."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.errors import ServerUnavailable, StigmerError
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.errors import TemporalUnavailable
from stigmer_cli.temporal.gateway import Gateway
from tests.chaos.failpoints import points
from tests.chaos.journals import Performer
from tests.chaos.tool_agents import ToolAgent
from tests.support.ids import STORE, workflow
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, accept
from tests.support.temporal_server import DevServer, die_with_parent, kill_group

INJECT = Path(__file__).parent / "inject"
ROOT = Path(__file__).parents[3]
SETTLE_MAX_S = 15.0
ON_MAX_S = 30.0
ECHO = "Echo (no model was asked): "
ONCE = (EventType.ACCEPTED, EventType.CLAIMED, EventType.COMPLETED)

Line = dict[str, object]


class PartFailpoints:
    """The failpoints of one part, as a test arms them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._own = points.Failpoints(folder)
        self.environment = {points.VARIABLE: str(folder), "PYTHONPATH": f"{INJECT}:{ROOT}"}

    @contextmanager
    def arm(self, point: str, act: str = "kill") -> Iterator[None]:
        """Plan `act` at `point`, `kill@3` for the third time; fails at the end if it was never reached."""
        assert point in {known.name for known in points.POINTS}, f"no such failpoint: {point}"
        before = len(self.ledger())
        self._own.plan.write_text(f"{point}={act}")
        try:
            yield
        finally:
            self._own.plan.unlink(missing_ok=True)
        reached = [(line["point"], line["act"]) for line in self.ledger()[before:] if line["act"]]
        assert reached == [(point, act.partition("@")[0])], f"never reached: {point}"

    def ledger(self) -> list[Line]:
        """Every point that was reached by any process, in order."""
        if not self._own.reached.exists():
            return []
        return [json.loads(line) for line in self._own.reached.read_text().splitlines()]


class FailpointRunner:
    """`stigmer work`, startable again after its death."""

    def __init__(self, home: Path, number: int, environment: Mapping[str, str]) -> None:
        self.log = home / f"runner-{number}.log"
        self._environment = {**os.environ, "STIGMER_HOME": str(home), "STIGMER_TOKEN": TOKEN, **environment}
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

    @property
    def is_dead(self) -> bool:
        """Whether it was started and has ended."""
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL; nothing if it does not run."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None


@dataclass
class KeyedRequest:
    """One request under its idempotency key, and every id that an answer gave for it."""

    key: str
    ids: set[str] = field(default_factory=set)


class FailpointHarness:
    """The parts, each with its failpoints, and the client's own log of its requests."""

    def __init__(self, folder: Path, temporal: DevServer) -> None:
        self.temporal = temporal
        self.server_points = PartFailpoints(folder / "server-points")
        self.runner_points = PartFailpoints(folder / "runner-points")
        self.server = Served(folder, temporal.address, self.server_points.environment)
        addresses = {"STIGMER_TEMPORAL_ADDRESS": temporal.address, "STIGMER_SERVER_URL": self.server.url}
        # Two, so that what is measured after a death is the retry, and not how fast a Python starts here.
        environment = {**addresses, **self.runner_points.environment}
        self.runners = [FailpointRunner(folder, number, environment) for number in range(2)]
        self.log: list[KeyedRequest] = []
        self.folder = folder
        self.effects = folder / "effects.jsonl"

    def request(self) -> KeyedRequest:
        """A new request."""
        request = KeyedRequest(key=f"request-{len(self.log):03d}")
        self.log.append(request)
        return request

    async def until_all_poll(self) -> None:
        """Return when the server is connected to Temporal and sees both runners poll."""
        await self.server.until_ready()
        await self.server.until()
        pids = [f"/{runner.process.pid}@" for runner in self.runners if runner.process]
        async with self.server.client() as client:

            async def all_are_seen() -> bool:
                pollers = [poller.identity for poller in (await client.health()).task_queue.pollers]
                return all(any(pid in identity for identity in pollers) for pid in pids)

            await eventually(all_are_seen, within_s=ON_MAX_S, what=f"{pids} poll")

    async def wait_runner_dead(self, within_s: float) -> FailpointRunner:
        """The runner that died."""

        async def dead() -> list[FailpointRunner]:
            return [runner for runner in self.runners if runner.is_dead]

        (found,) = await eventually(dead, within_s=within_s, what="a runner dies")
        return found

    async def wait_server_dead(self, within_s: float) -> None:
        """Return when the server has died."""

        async def dead() -> bool:
            return self.server.process is not None and self.server.process.poll() is not None

        await eventually(dead, within_s=within_s, what="the server dies")

    async def ask(self, client: Client, request: KeyedRequest) -> bool:
        """Send the request under its key; returns whether the server acknowledged it."""
        try:
            answer = await accept(client, request.key, message=request.key)
        except ServerUnavailable:
            return False
        request.ids.add(answer.metadata.id)
        return True

    async def ask_tools(self, client: Client, agent: Performer) -> str:
        """Have an execution of an agent that uses tools, or of a workflow, accepted; returns its id.

        It has one key, however often it is asked for, which is the order that a workflow is given.
        """
        key = self.request().key
        if isinstance(agent, ToolAgent):
            request = ExecutionRequest(agent=agent.name, message=f"use {agent.name}")
        else:
            request = ExecutionRequest(workflow=agent.name, input={"order": key})

        async def accepted() -> str | None:
            with suppress(StigmerError):
                return (await client.create_execution(request, idempotency_key=key, require_temporal=False)).metadata.id
            return None

        id_ = await eventually(accepted, within_s=ON_MAX_S, what="accepted")
        assert id_ is not None
        return id_

    async def wait_settled(self, client: Client, request: KeyedRequest) -> None:
        """Return when it ended and client, store, timeline and Temporal agree that it was done once."""
        (id_,) = request.ids

        async with self._gateway() as gateway:

            async def agreed() -> bool:
                row = await client.execution(id_)
                return row.status.phase.is_terminal and not await _contradictions(client, gateway, row)

            try:
                await eventually(agreed, within_s=SETTLE_MAX_S, despite=TemporalUnavailable)
            except AssertionError:
                row = await client.execution(id_)
                found = await _contradictions(client, gateway, row)
                raise AssertionError(f"{id_} is {row.status.phase}: {found}") from None
        rows = (await client.executions(Query(limit=500))).items
        assert [row.metadata.id for row in rows if row.spec.message == request.key] == [id_], "one row a request"

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Gateway]:
        clock, target = SystemClock(), Target(address=self.temporal.address)
        connection = Connection(target, clock=clock, rng=random.Random(1), identity="auditor")
        async with asyncio.TaskGroup() as group:
            owner = group.create_task(connection.run())
            await connection.wait_connected()
            yield Gateway(connection, store=STORE, clock=clock, rng=random.Random(2))
            owner.cancel()


async def _contradictions(client: Client, gateway: Gateway, row: ExecutionResource) -> list[str]:
    """What in store, timeline or Temporal contradicts that it was done once."""
    events = [event.type for event in await client.events(row.metadata.id)]
    store = StoreId((await client.identity()).store_id)
    observed = await gateway.describe(workflow(row.metadata.id, store=store))
    status, output = row.status, ECHO + row.spec.message
    expected = {
        f"output {status.output!r}, error {status.error!r}": status.output == output,
        f"messages {status.messages}": [message.content for message in status.messages] == [output],
        f"epoch {status.epoch}, attention {status.attention}": status.epoch == 1 and status.attention is None,
        f"timeline {events}": [events.count(type_) for type_ in ONCE] == [1] * len(ONCE),
        f"Temporal has {observed}": observed is not None
        and (observed.state, observed.run_id) == ("completed", status.dispatch.run_id),
    }
    return [text for text, is_so in expected.items() if not is_so]
