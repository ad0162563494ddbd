"""Facts that are plain values: a healthy stack, in which a test changes what it is about."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from stigmer_cli.api.health import Health
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.clock import iso
from stigmer_cli.doctor.check import Found
from stigmer_cli.doctor.facts.facts import (
    BinarySeen,
    EndpointSeen,
    ExecutionsSeen,
    Facts,
    HomeSeen,
    PageEndpoint,
    PortSeen,
    ProcessSeen,
    ServerSeen,
    StoreSeen,
    TemporalSeen,
    known,
)
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.judgement.stuck import Stuck
from stigmer_cli.judgement.wire import stuck_groups
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.status import SupervisorObservation
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from stigmer_cli.temporal.gateway import Poller
from tests.support.execution_rows import row
from tests.support.fakes import START, ManualClock

HOME = Home(path=Path("/home/ada/.stigmer"))
PIDS = {"supervisor": 10, "temporal": 11, "server": 12, "runner": 13}
ENDPOINTS = Endpoints(
    server_url="http://127.0.0.1:7234",
    temporal_address="127.0.0.1:7233",
    ui_url=None,
    namespace="default",
    ephemeral=False,
    started_at=iso(START),
    server_port=7234,
    temporal_port=7233,
    ui_port=None,
)
CLOSED = ServerSeen(url="http://127.0.0.1:7234", why="connection refused")
TEMPORAL = TemporalSeen(
    state="CONNECTED",
    cluster_id="cluster-1",
    namespace_id="namespace-1",
    pollers=(Poller(identity="stigmer-runner/13@here", last_access_at=START),),
    backlog=0,
    retention_s=30 * 86_400,
)
PLACES = [
    "temporal",
    "endpoint",
    "home",
    "ports",
    "supervisor",
    "processes",
    "server",
    "store",
    "executions",
    "http_endpoints",
    "page_endpoints",
    "binary",
    "provider",
    "tool_servers",
]


def child(name: str, **changes: Any) -> ChildRecord:
    """A part that runs."""
    part = ChildRecord(
        name=name,
        state="running",
        id=ProcessId(pid=PIDS[name], mark="m"),
        started_at=iso(START),
        uptime_s=60.0,
        log=f"/home/ada/.stigmer/logs/{name}.log",
    )
    return replace(part, **changes)


def probe(
    *children: ChildRecord, is_answering: bool = True, is_there: bool = True, **parts_missing_ports: int
) -> SupervisorObservation:
    """A supervisor with these children in place of the healthy ones."""
    changed = {one.name: one for one in children}
    record = SupervisorRecord(
        id=ProcessId(pid=10, mark="m"),
        started_at=iso(START),
        uptime_s=0.0,
        children=tuple(changed.get(name, child(name)) for name in ("temporal", "server", "runner")),
    )
    return SupervisorObservation(
        record=record, is_answering=is_answering, is_there=is_there, parts_missing_ports=parts_missing_ports
    )


NOBODY = SupervisorObservation(record=None, is_answering=False, is_there=False)


def health(**temporal: Any) -> Health:
    """What a healthy server says, with changes in what it says of Temporal."""
    return Health.model_validate(
        {
            "state": "ready",
            "version": "1.0",
            "pid": 12,
            "startedAt": iso(START),
            "submitPolicy": "queue",
            "reconcile": "auto",
            "temporal": {
                "state": "CONNECTED",
                "address": "127.0.0.1:7233",
                "namespace": "default",
                "since": iso(START),
                "clusterId": "cluster-1",
                "namespaceId": "namespace-1",
                **temporal,
            },
            "taskQueue": {
                "name": "stigmer",
                "pollers": [{"identity": "stigmer-runner/13@here", "lastAccessAt": iso(START)}],
            },
            "store": {"kind": "sqlite"},
            "executions": {},
        }
    )


def server(**temporal: Any) -> ServerSeen:
    """A server that answers."""
    return ServerSeen(url="http://127.0.0.1:7234", health=health(**temporal))


def execution(number: int = 1, *, age_s: float = 60.0, **status: Any) -> ExecutionResource:
    """One that is PENDING and queued, unless `status` says otherwise."""
    name = f"aex-{number:026d}"
    created = iso(START - timedelta(seconds=age_s))
    dispatch = {"state": "queued", "since": created, "workflowId": f"w/{name}"} | status.pop("dispatch", {})
    return ExecutionResource.model_validate(
        {
            "kind": "AgentExecution",
            "metadata": {"name": name, "slug": name, "id": name, "createdAt": created},
            "spec": {"agentId": "agt-1", "agentName": "greeter", "message": "hello"},
            "status": {"phase": "PENDING", "epoch": 1, "dispatch": dispatch, **status},
        }
    )


def stuck(
    kind: StuckClass, *ids: str, phase: Phase = Phase.IN_PROGRESS, age_s: float = 60.0, **changes: Any
) -> list[Stuck]:
    """What the judge says of executions of this class, `ids` or the first; an id is no more than a name here."""
    born = START - timedelta(seconds=age_s)
    rows = [replace(row(phase, execution=ExecutionId(name)), created_at=born) for name in ids or (f"aex-{1:026d}",)]
    return [Stuck(execution=one, kind=kind, since=START, **{"cause": "because", **changes}) for one in rows]


def having(*found: list[Stuck], rows: tuple[ExecutionResource, ...] = (), **changes: bool) -> ExecutionsSeen:
    """What the server says does not get on: whole, and judged, unless `changes` say otherwise."""
    groups = stuck_groups([one for alike in found for one in alike])
    return ExecutionsSeen(open=rows, stuck=StuckReport(groups=groups, **{"is_whole": True, **changes}))


def healthy(**changes: Any) -> Facts:
    """A stack in which all is well, but for `changes`: plain values for what is looked up, fields as they are."""
    values: dict[str, Any] = {
        "home": HomeSeen(),
        "ports": (
            PortSeen(part="server", port=7234, flag="--port", is_ours=True),
            PortSeen(part="temporal", port=7233, flag="--temporal-port", is_ours=True),
        ),
        "supervisor": probe(),
        "processes": {name: ProcessSeen(pid=pid, files_max=4096) for name, pid in PIDS.items()},
        "server": server(),
        "endpoint": EndpointSeen(address="127.0.0.1:7233", namespace="default", is_own=True),
        "temporal": TEMPORAL,
        "http_endpoints": (),
        "page_endpoints": (PageEndpoint(part="server", address="127.0.0.1:7234"),),
        "store": StoreSeen(path=HOME.store_file, size=4096),
        "executions": ExecutionsSeen(models=("echo",)),
        "binary": BinarySeen(path=Path("/usr/bin/temporal")),
        "provider": "",
    }
    values |= {name: changes.pop(name) for name in list(changes) if name in PLACES}

    async def lines(part: str) -> tuple[str, ...]:
        return (f"the last line of {part}",)

    fields: dict[str, Any] = {
        "settings": Settings(home=HOME),
        "clock": ManualClock(),
        "version": "1.0",
        "endpoints": ENDPOINTS,
        "lines": lines,
    }
    fields["shell"] = changes.get("settings", fields["settings"])
    return Facts(**(fields | changes | {name: known(value) for name, value in values.items()}))


def processes(**changed: ProcessSeen) -> dict[str, ProcessSeen]:
    """Of each part, with `changed` in place of some."""
    return {name: ProcessSeen(pid=pid) for name, pid in PIDS.items()} | changed


def brief(found: Found) -> tuple[str, str, str]:
    """Result, message and hint."""
    return (str(found.result), found.message, found.hint)
