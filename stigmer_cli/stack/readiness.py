"""Judges which parts of a stack are not proven ready yet, from its processes and its server; does no I/O."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.stack.parts import NAMES, RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.server_probe import ServerObservation
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord

READY = "ready"
OUR_RUNNER = re.compile(r"stigmer-runner/(?P<pid>\d+)@[^/]*(/\d+(-(?P<tag>[0-9a-f]+))?)?")


def find_unready_parts(
    record: SupervisorRecord,
    seen: ServerObservation,
    parts_missing_ports: Mapping[str, int],
    still: Mapping[str, str] | None = None,
) -> Mapping[str, str]:
    """For each part that is not proven ready, why; empty means ready. It claims nothing that was not observed.

    `parts_missing_ports` names parts that run without holding their port: another process answers there. `still` says
    why running parts make no progress (standstill.py).
    """
    found: dict[str, str] = {}
    for child in record.children:
        if child.state != ChildState.RUNNING:
            found[child.name] = child.state
        elif still and child.name in still:
            found[child.name] = still[child.name]
        elif child.name in parts_missing_ports:
            found[child.name] = f"does not listen on port {parts_missing_ports[child.name]} yet"
    found.setdefault(SERVER, _server(record.child(SERVER), seen))
    found.setdefault(TEMPORAL, _temporal(seen))
    found.setdefault(RUNNER, _runner(record.child(RUNNER), seen))
    return {name: why for name, why in found.items() if why}


def select_changes(record: SupervisorRecord, lacking: Mapping[str, str], told: Mapping[str, str]) -> Mapping[str, str]:
    """The state of each part that differs from what was `told` last, an external Temporal included.

    Each part comes after those that it waits for.
    """
    names = sorted({child.name for child in record.children} | set(lacking) | set(told), key=order_of)
    states = {name: lacking.get(name, READY) for name in names}
    return {name: state for name, state in states.items() if told.get(name) != state}


def order_of(name: str) -> tuple[int, str]:
    """The place of a part in the order of dependency: Temporal, server, runner."""
    return (NAMES.index(name) if name in NAMES else len(NAMES), name)


def _server(child: ChildRecord | None, seen: ServerObservation) -> str:
    if seen.why:
        return seen.why
    if child is not None and child.id is not None and seen.pid != child.id.pid:
        return f"its port is answered by another process (pid {seen.pid})"
    return ""


def _temporal(seen: ServerObservation) -> str:
    if seen.temporal_state is None:
        return "unknown while the server does not answer"
    if seen.temporal_state.upper() == ConnectionState.CONNECTED:
        return ""
    cause = f" ({seen.temporal_cause})" if seen.temporal_cause else ""
    return f"the server is {seen.temporal_state.lower()}{cause}"


def _runner(child: ChildRecord | None, seen: ServerObservation) -> str:
    if seen.temporal_state is None:
        return "unknown while the server does not answer"
    if child is None or child.id is None:
        return "not running"
    if any(is_worker_of(child.id, poller.identity) and poller.is_live for poller in seen.pollers):
        return ""
    return "has not asked Temporal for work yet"


def is_worker_of(process: ProcessId, identity: str) -> bool:
    """Whether the poller `identity` is a worker of this very process, and not of an earlier one with the same pid."""
    found = OUR_RUNNER.match(identity)
    return found is not None and int(found["pid"]) == process.pid and found["tag"] in (None, process.tag)


def parse_time(text: str | None) -> datetime:
    """`text`, an RFC 3339 time, in UTC; 1970 if it is none."""
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
