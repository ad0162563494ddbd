"""Connects each fact to its probe of the machine, the supervisor, the server or Temporal."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as installed

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import Clock
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.facts import machine, probes
from stigmer_cli.doctor.facts.facts import (
    EndpointSeen,
    ExecutionsSeen,
    Facts,
    HttpEndpoint,
    Once,
    PageEndpoint,
    PortSeen,
    ProcessSeen,
    ServerSeen,
    TemporalSeen,
    TlsSeen,
    ToolServerSeen,
    is_own_temporal,
    server_url,
    temporal_address,
    temporal_namespace,
)
from stigmer_cli.doctor.facts.pollers import live_among
from stigmer_cli.doctor.facts.quiet_work import Caller, probe_quiet_server
from stigmer_cli.doctor.facts.tls_probe import probe_server_tls, probe_temporal_tls
from stigmer_cli.doctor.facts.tool_servers import probe_tool_servers
from stigmer_cli.doctor.facts.web_page_access import probe_page_endpoints
from stigmer_cli.domain.secret import find_references
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner_record import read_runner_records
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints
from stigmer_cli.stack.parts import SERVER, SUPERVISOR, TEMPORAL
from stigmer_cli.stack.precedence import follow_running_stack, keep_recorded, settings_of_runner
from stigmer_cli.stack.remote import find_server_elsewhere
from stigmer_cli.stack.settings_record import read_settings_record
from stigmer_cli.stack.status import SupervisorObservation
from stigmer_cli.store_record import read_store_record
from stigmer_cli.supervisor.record import SupervisorRecord, read_record
from stigmer_cli.temporal.target import Target, target_of


def collect_facts(
    settings: Settings,
    *,
    clock: Clock,
    problem: ConfigError | None = None,
) -> Facts:
    """The facts of this machine; only small files have been read, every probe runs when it is first asked for."""
    found, given, shell = (
        None if problem else read_endpoints(settings.home),
        read_settings_record(settings.home),
        settings,
    )
    settings = follow_running_stack(shell, found, given) if found else keep_recorded(shell, given)
    place = _Place(settings=settings, found=found, clock=clock, pids=_pids(read_record(settings.home.run)))
    supervisor = Once(lambda: probes.probe_supervisor(settings, found, clock=clock))
    endpoint = Once(place.endpoint)
    temporal = Once(lambda: place.temporal(endpoint))
    executions = Once(lambda: place.executions(temporal, server, supervisor))
    server = Once(lambda: probes.probe_server(place.url, settings, clock=clock, waits_for=place.waits_for(SERVER)))
    return Facts(
        settings=settings,
        clock=clock,
        version=installed("stigmer-cli"),
        problem=problem,
        endpoints=found,
        pids=tuple(place.pids.values()),
        shell=shell,
        given=given,
        home=Once(lambda: in_thread(lambda: machine.probe_home(settings.home))),
        ports=Once(lambda: place.ports(supervisor)),
        supervisor=supervisor,
        processes=Once(lambda: place.processes(supervisor)),
        lines=lambda part: in_thread(lambda: machine.last_lines(settings.home, part)),
        server=server,
        endpoint=endpoint,
        temporal=temporal,
        http_endpoints=Once(lambda: place.http_endpoints(supervisor)),
        page_endpoints=Once(lambda: place.page_endpoints(supervisor)),
        store=Once(lambda: in_thread(lambda: probes.probe_store(settings))),
        executions=executions,
        tool_servers=Once(lambda: place.tool_servers(executions)),
        binary=Once(lambda: in_thread(lambda: machine.probe_binary(settings))),
        provider=Once(lambda: probes.probe_provider(settings_of_runner(shell, found, given))),
        runners=Once(lambda: in_thread(lambda: read_runner_records(settings.home))),
        temporal_tls=Once(lambda: place.temporal_tls(endpoint)),
        server_tls=Once(lambda: probe_server_tls(place.url, settings, clock)),
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one stack is found, and the facts that need another one first."""

    settings: Settings
    found: Endpoints | None
    clock: Clock
    pids: Mapping[str, int]

    def waits_for(self, part: str) -> tuple[int, ...]:
        """The pid of `part`, where it runs on this machine: its lack of processor time does not count."""
        return (self.pids[part],) if part in self.pids else ()

    @property
    def url(self) -> str:
        """The server's."""
        return server_url(self.settings, self.found)

    @property
    def target(self) -> Target:
        """Temporal's address, namespace and credentials; raises ConfigError as `target_of` does."""
        return replace(
            target_of(self.settings),
            address=temporal_address(self.settings, self.found),
            namespace=temporal_namespace(self.settings, self.found),
            is_own=is_own_temporal(self.settings, self.found),
        )

    async def ports(self, supervisor: Once[SupervisorObservation]) -> tuple[PortSeen, ...]:
        """Each port and who holds it."""
        record = (await supervisor()).record
        return await in_thread(lambda: machine.probe_ports(self.settings, self.found, record))

    async def processes(self, supervisor: Once[SupervisorObservation]) -> Mapping[str, ProcessSeen]:
        """Each process that was written down."""
        record = (await supervisor()).record
        return await in_thread(lambda: machine.probe_processes(record))

    async def temporal(self, endpoint: Once[EndpointSeen]) -> TemporalSeen:
        """Temporal as this process reaches it; always as if it were external, because a probe changes nothing there."""
        seen, pids = await endpoint(), self.waits_for(TEMPORAL)
        if seen.why or seen.silence:  # then there may be no target, either
            return TemporalSeen(state=ConnectionState.DISCONNECTED, cause=seen.why or seen.silence)
        record = read_store_record(self.settings.home)
        target, store = replace(self.target, is_own=False), record.id if record else None
        return await probes.probe_temporal(seen, target, store, self.clock, waits_for=pids)

    async def temporal_tls(self, endpoint: Once[EndpointSeen]) -> TlsSeen:
        """The state of TLS to Temporal."""
        try:
            target = self.target
        except ConfigError as error:
            return TlsSeen(is_used=True, why=error.message)
        return await probe_temporal_tls(target, await endpoint(), self.clock)

    async def endpoint(self) -> EndpointSeen:
        """Whether Temporal's port takes connections; not probed where no address is known."""
        if find_server_elsewhere(self.settings, self.found) and self.settings.temporal_address is None:
            return EndpointSeen(
                address="", namespace=self.settings.temporal_namespace, is_own=False, why="not asked from here"
            )
        try:
            target = self.target
        except ConfigError as error:
            address = self.settings.temporal_target
            return EndpointSeen(address=address, namespace="", is_own=False, silence=error.message)
        return await probes.probe_endpoint(target, waits_for=self.waits_for(TEMPORAL))

    async def http_endpoints(self, supervisor: Once[SupervisorObservation]) -> tuple[HttpEndpoint, ...]:
        """Where our Temporal answers HTTP."""
        child = _child((await supervisor()).record)
        return await probes.probe_http_endpoints(child, self.found) if child else ()

    async def page_endpoints(self, supervisor: Once[SupervisorObservation]) -> tuple[PageEndpoint, ...]:
        """What the listening sockets of the parts give to a web page."""
        record = (await supervisor()).record
        return await probe_page_endpoints(
            {child.name: child.id.pid for child in record.children if child.id} if record else {}
        )

    async def tool_servers(self, executions: Once[ExecutionsSeen]) -> tuple[ToolServerSeen, ...]:
        """What is wrong with the tool servers of agents."""
        servers = (await executions()).tool_servers
        texts = [text for _, mcp in servers for text in (*mcp.env.values(), *mcp.headers.values())]
        names = sorted({name for text in texts for name in find_references(text)})
        secrets: Mapping[str, str] = {}
        if names:
            await probes.load_module("stigmer_cli.doctor.facts.open_work")
            from stigmer_cli.doctor.facts.open_work import resolve_secrets  # noqa: PLC0415 - loaded just now

            secrets = await resolve_secrets(self._caller(), names)
        return await probe_tool_servers(servers, self.settings.proxies, secrets=secrets, clock=self.clock)

    def _caller(self) -> Caller:
        return Caller(
            url=self.url,
            token=probes.token_of(self.settings),
            ca_file=self.settings.server_ca_file,
            is_insecure_allowed=self.settings.is_insecure_allowed,
        )

    async def executions(
        self, temporal: Once[TemporalSeen], server: Once[ServerSeen], supervisor: Once[SupervisorObservation]
    ) -> ExecutionsSeen:
        """The open executions; Temporal is asked about them only where this process is connected to it."""
        caller = self._caller()
        quiet = await probe_quiet_server(caller)
        if quiet is not None:
            return quiet
        await probes.load_module("stigmer_cli.doctor.facts.open_work")
        from stigmer_cli.doctor.facts.open_work import (  # noqa: PLC0415 - loaded just now
            Surroundings,
            probe_executions,
        )

        async def look() -> Surroundings:
            seen, health = await temporal(), (await server()).health
            target = replace(self.target, is_own=False) if seen.is_connected else None
            is_polled = bool(live_among(seen, health, await supervisor()))
            return Surroundings(target=target, is_polled=is_polled, health=health)

        return await probe_executions(caller, look=look, clock=self.clock)


def _pids(record: SupervisorRecord | None) -> Mapping[str, int]:
    if record is None:
        return {}
    ids = {SUPERVISOR: record.id, **{child.name: child.id for child in record.children if child.id}}
    return {name: one.pid for name, one in ids.items() if one.is_alive}


def _child(record: SupervisorRecord | None) -> int | None:
    child = record.child(TEMPORAL) if record else None
    return child.id.pid if child and child.id else None
