"""What is still missing until a stack is proven ready: a pure judgement of one look at its processes and its server."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from stigmer_cli.stack.parts import RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.probe import Seen
from stigmer_cli.stack.state import Endpoints
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord

CONNECTED = "CONNECTED"
OUR_RUNNER = re.compile(r"stigmer-runner/(\d+)@")
FOREIGN_CLOCK_S = 300.0
"""How far the clock of a Temporal that somebody else runs may be from ours before its times say nothing."""


def missing(record: SupervisorRecord, seen: Seen, endpoints: Endpoints, unheld: Mapping[str, int]) -> Mapping[str, str]:
    """For each part that is not proven ready, why; empty means ready. Never better than what was seen.

    `unheld` names parts that run and do not hold a port of theirs: whoever answers there is somebody else.
    """
    found: dict[str, str] = {}
    for child in record.children:
        if child.state != ChildState.RUNNING:
            found[child.name] = child.state
        elif child.name in unheld:
            found[child.name] = f"does not listen on port {unheld[child.name]} yet"
    found.setdefault(SERVER, _server(record.child(SERVER), seen))
    found.setdefault(TEMPORAL, _temporal(seen))
    found.setdefault(RUNNER, _runner(record.child(RUNNER), seen, endpoints))
    return {name: why for name, why in found.items() if why}


def _server(child: ChildRecord | None, seen: Seen) -> str:
    if seen.why:
        return seen.why
    if child is not None and child.id is not None and seen.pid != child.id.pid:
        return f"its port is answered by another process (pid {seen.pid})"
    return ""


def _temporal(seen: Seen) -> str:
    if seen.temporal_state is None:
        return "unknown while the server does not answer"
    if seen.temporal_state.upper() == CONNECTED:
        return ""
    cause = f" ({seen.temporal_cause})" if seen.temporal_cause else ""
    return f"the server is {seen.temporal_state.lower()}{cause}"


def _runner(child: ChildRecord | None, seen: Seen, endpoints: Endpoints) -> str:
    if seen.temporal_state is None:
        return "unknown while the server does not answer"
    if child is None or child.id is None:
        return "not running"
    born = moment(child.started_at) - timedelta(seconds=0.0 if endpoints.owns_temporal else FOREIGN_CLOCK_S)
    for poller in seen.pollers:
        ours = OUR_RUNNER.match(poller.identity)
        if ours and int(ours[1]) == child.id.pid and poller.last_access_at >= born:
            return ""
    return "has not asked Temporal for work yet"


def moment(text: str | None) -> datetime:
    """An RFC 3339 time; the beginning of time where there is none."""
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
