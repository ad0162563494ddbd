"""Why a server on this machine cannot be used: down, restarting, another token, or another process on its port."""

from urllib.parse import urlsplit

from stigmer_cli.errors import NotRunning, Refused, ServerUnavailable, ServerUnproven, StigmerError
from stigmer_cli.proxies import PORTS
from stigmer_cli.server_proof import is_loopback
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import SERVER
from stigmer_cli.stack.port_holders import holds, is_listened_on
from stigmer_cli.stack.ports import owner_of
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import read_record


def explain(error: ServerUnavailable, url: str, home: Home, *, is_own: bool) -> StigmerError:
    """The error to raise for `error`: what this machine shows about the port, or `error` where it shows no more.

    `is_own` where that is the server of the stack of `home`, and not one that a setting names by its URL.
    """
    port = urlsplit(url).port or PORTS["http"]
    if not is_loopback(urlsplit(url).hostname or "") or not is_listened_on(port):
        is_down = is_own and not is_supervised(home)
        return (
            NotRunning(f"{home.stack_name} is not running ({error.message})", hint="stigmer up") if is_down else error
        )
    server = _server(home)
    if is_own and server is not None and holds(server.pid, port):
        return _of_another_token(server) if isinstance(error, ServerUnproven) else error
    if is_own or isinstance(error, ServerUnproven):
        return _of_somebody_else(port, home, is_own=is_own)
    return error


def is_supervised(home: Home) -> bool:
    """Whether a supervisor of this home runs, which restarts the parts that ended."""
    record = read_record(home.run)
    return record is not None and record.id.is_alive


def _server(home: Home) -> ProcessId | None:
    record = read_record(home.run)
    child = record.child(SERVER) if record else None
    return child.id if child and child.id and child.id.is_alive else None


def _of_another_token(server: ProcessId) -> Refused:
    return Refused(
        f"the server (pid {server.pid}) does not hold the token of this command",
        hint="unset STIGMER_TOKEN if it is set; otherwise stigmer restart server",
    )


def _of_somebody_else(port: int, home: Home, *, is_own: bool) -> NotRunning:
    if not is_own:
        hint = "stigmer config get server_url; behind a tunnel or a forwarded port, STIGMER_INSECURE_HTTP=true"
    elif is_supervised(home):
        hint = "stigmer down && stigmer up --auto-ports"
    else:
        hint = "stigmer up --auto-ports"
    return NotRunning(f"the server is not running; port {port} belongs to {owner_of(port)}", hint=hint)
