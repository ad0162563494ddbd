"""Where each fact comes from: wires what checks look at to the looks at machine, supervisor, server and Temporal."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as installed

from stigmer_cli.clock import Clock
from stigmer_cli.doctor import looks, machine
from stigmer_cli.doctor.blocking import in_thread
from stigmer_cli.doctor.facts import (
    Door,
    ExecutionsSeen,
    Facts,
    HttpDoor,
    Once,
    PortSeen,
    ProcessSeen,
    TemporalSeen,
    is_own_temporal,
    server_url,
    temporal_address,
    temporal_namespace,
)
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings
from stigmer_cli.stack.parts import SERVER, SUPERVISOR, TEMPORAL
from stigmer_cli.stack.state import Endpoints, endpoints
from stigmer_cli.stack.status import Look
from stigmer_cli.supervisor.record import SupervisorRecord, read_record
from stigmer_cli.temporal.target import Target, target_of


def gathered(
    settings: Settings,
    *,
    clock: Clock,
    problem: ConfigError | None = None,
) -> Facts:
    """The facts of this machine, none of them found out yet but what small files say."""
    found = None if problem else endpoints(settings.home)
    place = _Place(settings=settings, found=found, clock=clock, pids=_pids(read_record(settings.home.run)))
    supervisor = Once(lambda: looks.supervisor_seen(settings, found))
    door = Once(lambda: looks.door_seen(place.target, waits_for=place.waits_for(TEMPORAL)))
    temporal = Once(lambda: place.temporal(door))
    return Facts(
        settings=settings,
        clock=clock,
        version=installed("stigmer-cli"),
        problem=problem,
        endpoints=found,
        pids=tuple(place.pids.values()),
        home=Once(lambda: in_thread(lambda: machine.home_seen(settings.home))),
        ports=Once(lambda: place.ports(supervisor)),
        supervisor=supervisor,
        processes=Once(lambda: place.processes(supervisor)),
        lines=lambda part: in_thread(lambda: machine.last_lines(settings.home, part)),
        server=Once(lambda: looks.server_seen(place.url, settings, waits_for=place.waits_for(SERVER))),
        door=door,
        temporal=temporal,
        http_doors=Once(lambda: place.http_doors(supervisor)),
        store=Once(lambda: in_thread(lambda: looks.store_seen(settings))),
        executions=Once(lambda: place.executions(temporal)),
        binary=Once(lambda: in_thread(lambda: machine.binary_seen(settings))),
        provider=Once(lambda: looks.provider_seen(settings)),
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one stack is found, and the facts that need another one first."""

    settings: Settings
    found: Endpoints | None
    clock: Clock
    pids: Mapping[str, int]

    def waits_for(self, part: str) -> tuple[int, ...]:
        """The process whose work a question to `part` waits for, where it is one of this machine."""
        return (self.pids[part],) if part in self.pids else ()

    @property
    def url(self) -> str:
        """The server's."""
        return server_url(self.settings, self.found)

    @property
    def target(self) -> Target:
        """Temporal, and how one gets to it."""
        return replace(
            target_of(self.settings),
            address=temporal_address(self.settings, self.found),
            namespace=temporal_namespace(self.settings, self.found),
            is_own=is_own_temporal(self.settings, self.found),
        )

    async def ports(self, supervisor: Once[Look]) -> tuple[PortSeen, ...]:
        """Each port and who holds it."""
        record = (await supervisor()).record
        return await in_thread(lambda: machine.ports_seen(self.settings, self.found, record))

    async def processes(self, supervisor: Once[Look]) -> Mapping[str, ProcessSeen]:
        """Each process that was written down."""
        record = (await supervisor()).record
        return await in_thread(lambda: machine.processes_seen(record))

    async def temporal(self, door: Once[Door]) -> TemporalSeen:
        """Temporal as this process reaches it; as if it were somebody else's, because a look changes nothing there."""
        target, pids = replace(self.target, is_own=False), self.waits_for(TEMPORAL)
        return await looks.temporal_reached(await door(), target, self.clock, waits_for=pids)

    async def http_doors(self, supervisor: Once[Look]) -> tuple[HttpDoor, ...]:
        """Where our Temporal answers HTTP."""
        child = _child((await supervisor()).record)
        return await looks.http_doors_seen(child, self.found) if child else ()

    async def executions(self, temporal: Once[TemporalSeen]) -> ExecutionsSeen:
        """What is not done yet; Temporal is asked about it only where it can be believed."""
        await looks.loaded("stigmer_cli.doctor.open_work")
        from stigmer_cli.doctor.open_work import executions_seen  # noqa: PLC0415 - loaded just now

        async def where() -> Target | None:
            return replace(self.target, is_own=False) if (await temporal()).is_connected else None

        return await executions_seen(self.url, looks.token_of(self.settings), where=where, clock=self.clock)


def _pids(record: SupervisorRecord | None) -> Mapping[str, int]:
    if record is None:
        return {}
    ids = {SUPERVISOR: record.id, **{child.name: child.id for child in record.children if child.id}}
    return {name: one.pid for name, one in ids.items() if one.is_alive}


def _child(record: SupervisorRecord | None) -> int | None:
    child = record.child(TEMPORAL) if record else None
    return child.id.pid if child and child.id else None
