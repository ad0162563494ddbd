"""A server on another machine: whether the settings name one, its state, and the commands that it cannot be given."""

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.credential import read_token
from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.errors import ConfigError, NotRunning, RequestError
from stigmer_cli.project_home import Origin, find_provenance
from stigmer_cli.settings import Home, Settings, Source
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints
from stigmer_cli.stack.parts import RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.server_probe import ServerObservation, ServerProbe
from stigmer_cli.stack.status import WELL, PartState, PartStatus, StackState, StackStatus

LOOK_MAX_S = 3.0
"""Longer than for a stack of this machine, because of the network and the TLS handshake."""

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


def find_server_elsewhere(settings: Settings, found: Endpoints | None) -> str | None:
    """The URL of the server that the settings name, where it is not the one of this home's stack; None where it is."""
    url = settings.server_url
    if url is None or settings.sources.get("server_url") is Source.DEFAULT:
        return None
    ports = {settings.server_port, *((found.server_port,) if found else ())}
    ours = {f"http://{name}:{port}" for name in LOCAL_NAMES for port in ports}
    return None if url in ours else url


def refuse_elsewhere(settings: Settings, command: str) -> None:
    """Raise RequestError where `command`, which is about processes of this machine, is asked of a server elsewhere."""
    url = find_server_elsewhere(settings, read_endpoints(settings.home))
    if url is not None:
        raise RequestError(
            f"{command} is about a stack of this machine, and commands talk to the server at {url}"
            f" ({_where_set(settings)})",
            hint=f"on the machine of that server: {command}; for the stack of this one: {_without(settings)}{command}",
        )


def require_token(settings: Settings) -> None:
    """Raise ConfigError where the server is elsewhere and this machine has no token: one made here is not its token."""
    url = find_server_elsewhere(settings, read_endpoints(settings.home))
    if url is not None and settings.token is None and read_token(settings.home) is None:
        raise ConfigError(
            f"there is no token for the server at {url}", hint="set STIGMER_TOKEN to the one that this server was given"
        )


def refuse_copy(home: Home) -> None:
    """Raise NotRunning where nothing runs in `home` and it is a copy: the original's server may have its port.

    With the copied token that server would let the command in.
    """
    found = find_provenance(home.path)
    if found.origin is Origin.COPY:
        raise NotRunning(
            f"{home.stack_name} is not running; it is a copy of {found.made_at}, whose server is not asked",
            hint="stigmer up --auto-ports",
        )


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
    live = [one for one in seen.pollers if is_fresh(one.silent_s)]
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


def _where_set(settings: Settings) -> str:
    source = settings.sources.get("server_url")
    return "server_url in config.toml" if source is Source.FILE else "STIGMER_SERVER_URL"


def _without(settings: Settings) -> str:
    return "" if settings.sources.get("server_url") is Source.FILE else "env -u STIGMER_SERVER_URL "
