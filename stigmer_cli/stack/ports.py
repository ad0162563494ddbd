"""The ports that a stack needs: which are taken, by whom, which flag changes them, and which are free."""

import errno
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.options import HOME_VARIABLE
from stigmer_cli.settings import PORT_MAX, Settings
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import LOOPBACK, SERVER, TEMPORAL
from stigmer_cli.stack.port_claims import PortClaims
from stigmer_cli.stack.port_holders import is_listened_on
from stigmer_cli.stack.running_homes import find_home_of_port

COMMAND_MAX = 80
CONNECT_MAX_S = 0.2
SEARCHED = 500


@dataclass(frozen=True, kw_only=True)
class PortUse:
    """A port that a part needs; `option` is the setting and `flag` the option of `up` that moves it."""

    part: str
    option: str
    flag: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a port; None where this user may not see it."""

    pid: int | None = None
    command: str | None = None

    def __str__(self) -> str:
        """For a message."""
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid} ({self.command or 'unknown command'})"


@dataclass(frozen=True, kw_only=True)
class PortConflict:
    """A port that cannot be used, and why; `home` is that of the stack of this user which has it."""

    use: PortUse
    owner: Owner | None
    reason: str
    home: Path | None = None

    def __str__(self) -> str:
        """One line for a message."""
        held = f"is held by {self.owner}" if self.owner else self.reason
        return f"port {self.use.port} for {self.use.part} {held}; {self.use.flag} N chooses another"


class PortsTaken(MachineError):
    """Ports that the stack needs cannot be used; `conflicts` has all of them."""

    code = "ports-taken"

    def __init__(self, conflicts: Sequence[PortConflict]) -> None:
        homes = sorted({conflict.home for conflict in conflicts if conflict.home is not None})
        lines = [_describe_stack(home, conflicts) for home in homes]
        lines += [str(conflict) for conflict in conflicts if conflict.home is None]
        flags = " ".join(f"{conflict.use.flag} N" for conflict in conflicts)
        stops = [f"{HOME_VARIABLE}={shlex.quote(str(home))} stigmer down" for home in homes]
        ways = [*stops, "stigmer up --auto-ports", f"stigmer up {flags}"]
        super().__init__("\n       ".join(lines), hint=", or ".join(ways))
        self.conflicts = tuple(conflicts)


def _describe_stack(home: Path, conflicts: Sequence[PortConflict]) -> str:
    """One line for all ports that the stack in `home` has."""
    held = [f"{found.use.port} for {found.use.part}" for found in conflicts if found.home == home]
    ports = f"port {held[0]} belongs" if len(held) == 1 else f"ports {' and '.join(held)} belong"
    return f"{ports} to the stack in {home}, which runs"


def list_needed_ports(settings: Settings) -> tuple[PortUse, ...]:
    """The ports that a stack with these settings uses on 127.0.0.1; http_endpoints.py draws the others."""
    uses = [PortUse(part=SERVER, option="server_port", flag="--port", port=settings.server_port)]
    if settings.runs_own_temporal:
        uses.append(PortUse(part=TEMPORAL, option="temporal_port", flag="--temporal-port", port=settings.temporal_port))
    return tuple(uses)


def with_ports(settings: Settings, options: StackOptions, claims: PortClaims) -> Settings:
    """`settings` with ports that are free now and claimed in `claims`; moved only where `auto_ports` allows it.

    Raises PortsTaken with every conflict, and ConfigError where two parts want the same port.
    """
    uses = list_needed_ports(settings)
    twice = [use for number, use in enumerate(uses) if use.port in {other.port for other in uses[:number]}]
    if twice and not options.auto_ports:
        raise ConfigError(f"{twice[0].flag} {twice[0].port}: another part of the stack has that port already")
    conflicts = [found for use in uses if (found := _claim(use, claims))]
    if not (conflicts or twice):
        return settings
    if not options.auto_ports:
        raise PortsTaken([replace(found, home=find_home_of_port(found.use.port)) for found in conflicts])
    taken = {use.port for use in uses}
    moved: dict[str, int] = {}
    for use in [*(found.use for found in conflicts), *twice]:
        moved[use.option] = _free_port_after(use.port, taken, claims)
        taken.add(moved[use.option])
    return replace(settings, **moved)  # type: ignore[arg-type] # the keys are the three ports, each an int


def _claim(use: PortUse, claims: PortClaims) -> PortConflict | None:
    """None once `use` is claimed, else the conflict. The claim comes first, because testing a port binds it."""
    if not claims.take(use.port):
        return PortConflict(use=use, owner=_find_listener(use.port), reason=KEPT)
    found = conflict(use)
    if found is not None:
        claims.release(use.port)
    return found


def _find_listener(port: int) -> Owner | None:
    return owner_of(port) if is_listened_on(port) else None


def conflict(use: PortUse) -> PortConflict | None:
    """Why `use` is not possible now; None where it is."""
    reason = _why_taken(use.port)
    if reason is None:
        return None
    return PortConflict(use=use, owner=None if reason == NOT_ALLOWED else owner_of(use.port), reason=reason)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    return _why_taken(port) is None


def owner_of(port: int) -> Owner:
    """Who listens on `port`, or else has it for a connection, as far as this user may see."""
    import psutil  # noqa: PLC0415 - only when something is in the way

    try:
        found = [one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid]
        found.sort(key=lambda one: one.status != psutil.CONN_LISTEN)
        pid = found[0].pid if found else None
        if pid is None:
            return Owner()
        command = " ".join(psutil.Process(pid).cmdline()) or psutil.Process(pid).name()
    except (psutil.Error, OSError):
        return Owner()
    return Owner(pid=pid, command=command if len(command) <= COMMAND_MAX else command[: COMMAND_MAX - 3] + "...")


NOT_ALLOWED = "may not be used without privileges"
TAKEN = "is taken"
KEPT = "is kept by another stack of this machine"


def _why_taken(port: int) -> str | None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what waits in TIME_WAIT does not count
            probe.bind((LOOPBACK, port))
            probe.listen(1)
    except PermissionError:
        return NOT_ALLOWED
    except OSError as error:
        return TAKEN if error.errno == errno.EADDRINUSE else reason_of(error)
    # macOS lets two sockets have a port, one on every address and one on this: see who answers.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_MAX_S)
        return TAKEN if probe.connect_ex((LOOPBACK, port)) == 0 else None


def _free_port_after(port: int, taken: set[int], claims: PortClaims) -> int:
    last = min(port + SEARCHED, PORT_MAX)
    for candidate in range(port + 1, last + 1):
        if candidate in taken or not claims.take(candidate):
            continue
        if is_free(candidate):
            return candidate
        claims.release(candidate)
    raise MachineError(f"no free port between {port + 1} and {last}", hint="stigmer up --port N")
