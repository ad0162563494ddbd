"""A server on another machine: whether the settings name one, and the commands that it cannot be given."""

from stigmer_cli.credential import read_token
from stigmer_cli.errors import ConfigError, NotRunning, RequestError
from stigmer_cli.project_home import Origin, find_provenance
from stigmer_cli.settings import Home, Settings, Source
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints

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


def _where_set(settings: Settings) -> str:
    source = settings.sources.get("server_url")
    return "server_url in config.toml" if source is Source.FILE else "STIGMER_SERVER_URL"


def _without(settings: Settings) -> str:
    return "" if settings.sources.get("server_url") is Source.FILE else "env -u STIGMER_SERVER_URL "
