"""The state of a server on another machine, as it tells over the network."""

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.parts import RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.server_probe import ServerObservation, ServerProbe
from stigmer_cli.stack.status import WELL, PartState, PartStatus, StackState, StackStatus

LOOK_MAX_S = 3.0
"""Longer than for a stack of this machine, because of the network and the TLS handshake."""


async def remote_status(url: str, settings: Settings, *, token: str | None) -> StackStatus:
    """Observe the server at `url` once, over the network; takes at most `LOOK_MAX_S`."""
    probe = ServerProbe(url, token, ca_file=settings.server_ca_file, is_insecure_allowed=settings.is_insecure_allowed)
    return judge_stack(await probe.observe(LOOK_MAX_S), url, settings.home)


def judge_stack(seen: ServerObservation, url: str, home: Home) -> StackStatus:
    """The state of the server at `url`; says nothing about this machine."""
    is_reached = seen.state is not None
    parts = (_server(seen), _temporal(seen), _runner(seen))
    state = StackState.DEGRADED if is_reached else StackState.UNREACHABLE
    if not seen.why and seen.state in WELL:
        state = StackState(seen.state)
    return StackStatus(
        state=state,
        parts=parts,
        endpoints=_endpoints(seen, url),
        home=str(home.path),
        reasons=seen.reasons if is_reached else (),
        connection=seen.connection,
        elsewhere=f"{url}, Stigmer {seen.version}, store {seen.store}" if is_reached else url,
    )


def _server(seen: ServerObservation) -> PartStatus:
    if seen.state is None:
        return PartStatus(name=SERVER, state=PartState.FAILED, detail=seen.why)
    return PartStatus(name=SERVER, state=PartState.NOT_READY if seen.why else PartState.EXTERNAL, detail=seen.why)


def _temporal(seen: ServerObservation) -> PartStatus:
    if seen.temporal_state is None:
        return PartStatus(name=TEMPORAL, state=PartState.NOT_READY, detail="unknown while the server does not answer")
    if seen.temporal_state == ConnectionState.CONNECTED:
        return PartStatus(name=TEMPORAL, state=PartState.EXTERNAL, detail=str(seen.connection.get("address") or ""))
    cause = f" ({seen.temporal_cause})" if seen.temporal_cause else ""
    return PartStatus(
        name=TEMPORAL, state=PartState.NOT_READY, detail=f"the server is {seen.temporal_state.lower()}{cause}"
    )


def _runner(seen: ServerObservation) -> PartStatus:
    if seen.state is None:
        return PartStatus(name=RUNNER, state=PartState.NOT_READY, detail="unknown while the server does not answer")
    live = [one for one in seen.pollers if one.is_live]
    if not live:
        return PartStatus(name=RUNNER, state=PartState.NOT_READY, detail="none asks for work")
    return PartStatus(name=RUNNER, state=PartState.EXTERNAL, detail=f"{len(live)} asking for work")


def _endpoints(seen: ServerObservation, url: str) -> Endpoints:
    return Endpoints(
        server_url=url,
        temporal_address=str(seen.connection.get("address") or ""),
        ui_url=None,
        namespace=str(seen.connection.get("namespace") or ""),
        ephemeral=False,
        started_at="",
        server_port=0,
        temporal_port=None,
        ui_port=None,
    )
