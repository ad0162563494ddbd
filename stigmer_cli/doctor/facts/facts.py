"""The facts that checks read: each is probed at most once, on demand; a probe reports silence, it does not raise."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import LEGACY_TASK_QUEUE, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.errors import ConfigError
from stigmer_cli.home_trust import HomeFinding
from stigmer_cli.runner_record import RunnerRecord
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.ports import Owner
from stigmer_cli.stack.remote import find_server_elsewhere
from stigmer_cli.stack.settings_record import SettingsRecord
from stigmer_cli.stack.status import SupervisorObservation
from stigmer_cli.stack.task_limits import TaskLimit

if TYPE_CHECKING:
    from stigmer_cli.api.agent_tools import McpBody
    from stigmer_cli.api.health import Health
    from stigmer_cli.api.resources import ExecutionResource
    from stigmer_cli.api.stuck import StuckGroup, StuckReport
    from stigmer_cli.temporal.gateway import Poller

T = TypeVar("T")


class Once(Generic[T]):
    """A fact that is probed when it is first asked for; concurrent callers wait for the same answer."""

    def __init__(self, find: Callable[[], Awaitable[T]]) -> None:
        self._find = find
        self._found: list[T] = []
        self._lock = asyncio.Lock()

    @property
    def found(self) -> T | None:
        """The fact, if it has been found; nothing is probed."""
        return self._found[0] if self._found else None

    async def __call__(self) -> T:
        """The fact."""
        async with self._lock:
            if not self._found:
                self._found.append(await self._find())
            return self._found[0]


def known(value: T) -> Once[T]:
    """A fact whose value is known already."""

    async def find() -> T:
        return value

    return Once(find)


@dataclass(frozen=True, kw_only=True)
class HomeSeen:
    """The home folder. `why_not_writable` is empty where it is; sizes in bytes; modes are permission bits.

    `doubts` are why it cannot be trusted; `is_read_only` and `missing_mount` what is wrong with its file system; `fix`
    is the command against that, or against why it cannot be written.
    """

    exists: bool = True
    owner: int = 0
    user: int = 0
    mode: int = 0o700
    why_not_writable: str = ""
    is_read_only: bool = False
    missing_mount: Path | None = None
    fix: str = ""
    doubts: tuple[HomeFinding, ...] = ()
    free_bytes: int = 1 << 40
    free_files: int | None = None
    token_mode: int | None = 0o600
    files_max: int = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PortSeen:
    """A port that the stack needs; `is_ours` where a process of this stack holds it."""

    part: str
    port: int
    flag: str
    is_free: bool = False
    is_ours: bool = False
    owner: Owner | None = None


@dataclass(frozen=True, kw_only=True)
class ProcessSeen:
    """A process of the stack as the machine knows it; `files_max` is how many files it may open.

    `tasks` is the tightest limit of processes and threads that it is under; None where none is known.
    `gone_program` is the path that it was started from, if nothing is there any more; else empty.
    """

    pid: int
    is_alive: bool = True
    is_frozen: bool = False
    files_max: int | None = None
    tasks: TaskLimit | None = None
    gone_program: str = ""


@dataclass(frozen=True, kw_only=True)
class ServerSeen:
    """One observation of the server; `why` is empty where it answered as ours, and then there is a `health`.

    `stranger` holds its port and has not proven to be this home's server; `refusal` is why the token is never sent.
    `ahead_s`: by how much the clock that rows are written by is ahead of this command's (None: not told).
    """

    url: str
    why: str = ""
    health: "Health | None" = None
    ahead_s: float | None = None
    stranger: Owner | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class EndpointSeen:
    """Whether Temporal's port takes connections from here; `why` is empty where it does.

    `silence` is why the process there is no responsive gRPC server; empty where it is one.
    """

    address: str
    namespace: str
    is_own: bool
    why: str = ""
    silence: str = ""


@dataclass(frozen=True, kw_only=True)
class TemporalSeen:
    """Temporal as this process sees it: the state that its connection reached, and the answers it got.

    `pollers` and `backlog` are None where no answer came in time; `gone` are the pollers whose process has ended
    on this machine, though Temporal still lists them. `retention_s`: how long it keeps closed workflows.
    """

    state: str
    cause: str = ""
    task_queue: str = LEGACY_TASK_QUEUE
    cluster_id: str | None = None
    namespace_id: str | None = None
    pollers: "tuple[Poller, ...] | None" = None
    backlog: int | None = None
    gone: frozenset[str] = frozenset()
    retention_s: int | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it can be used from here."""
        return self.state == ConnectionState.CONNECTED


@dataclass(frozen=True, kw_only=True)
class StoreSeen:
    """The SQLite file; `path` is None where there is none. `integrity` is `ok`, a fault, or empty: unknown.

    `recorded` is the store that should be in a file that does not exist; None where none was ever there.
    `newest_copy` is the last one made before an upgrade; `can_salvage` where sqlite3's own shell is installed.
    """

    path: Path | None
    exists: bool = True
    recorded: StoreId | None = None
    size: int = 0
    wal_size: int = 0
    has_header: bool = True
    why_unreadable: str = ""
    integrity: str = "ok"
    is_checked_whole: bool = True
    newest_copy: Path | None = None
    can_salvage: bool = True


@dataclass(frozen=True, kw_only=True)
class BinarySeen:
    """The `temporal` binary; `why` is empty where it can be run.

    `is_genuine` is whether it is, byte for byte, what was installed; None where that is not recorded.
    """

    path: Path | None = None
    why: str = ""
    is_named: bool = False
    is_genuine: bool | None = True


@dataclass(frozen=True, kw_only=True)
class ToolServerSeen:
    """A tool server of an agent; `why` it cannot be used, empty where nothing is wrong."""

    agent: str
    label: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class ExecutionsSeen:
    """The open executions, oldest first, the models of all agents, and the names of all secrets.

    `is_cut` where there are more open ones. `tool_servers` are those of all agents, each with the agent's name.
    `stuck` is which of them make no progress, as the server judges; None where nothing was looked at.
    """

    open: "tuple[ExecutionResource, ...]" = ()
    is_cut: bool = False
    models: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    tool_servers: "tuple[tuple[str, McpBody], ...]" = ()
    stuck: "StuckReport | None" = None

    @property
    def is_judged(self) -> bool:
        """Whether Temporal could be asked about them."""
        return self.stuck is None or self.stuck.is_judged

    @property
    def is_whole(self) -> bool:
        """Whether all that are old enough were looked at."""
        return self.stuck is None or self.stuck.is_whole

    def groups(self, *kinds: StuckClass, phase: Phase | None = None) -> "Sequence[StuckGroup]":
        """The groups of these classes, in `phase` if it is given, the oldest first."""
        groups = self.stuck.groups if self.stuck else ()
        found = [group for group in groups if group.kind in kinds and phase in (None, group.phase)]
        return sorted(found, key=lambda group: group.oldest_at)


@dataclass(frozen=True, kw_only=True)
class HttpEndpoint:
    """A port on which Temporal answers HTTP, and with which status."""

    port: int
    status: int


@dataclass(frozen=True, kw_only=True)
class PageEndpoint:
    """A listening socket of a part, and the paths that it serves to a request for a foreign host."""

    part: str
    address: str
    given: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TlsSeen:
    """The state of TLS on one link; `is_used` where it is in use, `why` is empty where both ends agree.

    `ends` is when the peer's certificate expires, `own_ends` when ours (in `own_file`) does; None where there is none,
    or it could not be read.
    """

    is_used: bool = False
    why: str = ""
    ends: datetime | None = None
    own_ends: datetime | None = None
    own_file: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All facts. `problem` is why the settings could not be read; then they are the defaults, and prove nothing.

    `settings` are those of the stack: its addresses as it was started, the rest as this shell has it; `shell` is what
    this shell alone says. `given` is what each part was started with, None where nothing is recorded.
    `provider` is why the endpoint of openai: models cannot be reached from here; empty where it can. `pids` are the
    recorded processes of the stack.
    """

    settings: Settings
    clock: Clock
    version: str
    problem: ConfigError | None = None
    endpoints: Endpoints | None = None
    pids: tuple[int, ...] = ()
    shell: Settings
    given: SettingsRecord | None = None
    home: Once[HomeSeen]
    ports: Once[tuple[PortSeen, ...]]
    supervisor: Once[SupervisorObservation]
    processes: Once[Mapping[str, ProcessSeen]]
    lines: Callable[[str], Awaitable[tuple[str, ...]]]
    server: Once[ServerSeen]
    endpoint: Once[EndpointSeen]
    temporal: Once[TemporalSeen]
    http_endpoints: Once[tuple[HttpEndpoint, ...]]
    page_endpoints: Once[tuple[PageEndpoint, ...]]
    store: Once[StoreSeen]
    executions: Once[ExecutionsSeen]
    binary: Once[BinarySeen]
    provider: Once[str]
    tool_servers: Once[tuple[ToolServerSeen, ...]] = field(default_factory=lambda: known(()))
    runners: Once[tuple[RunnerRecord, ...]] = field(default_factory=lambda: known(()))
    temporal_tls: Once[TlsSeen] = field(default_factory=lambda: known(TlsSeen()))
    server_tls: Once[TlsSeen] = field(default_factory=lambda: known(TlsSeen()))

    @property
    def elsewhere(self) -> str | None:
        """The URL of the server that is meant, where it is not the one of this home's stack; None where it is."""
        return find_server_elsewhere(self.settings, self.endpoints)

    @property
    def is_here(self) -> bool:
        """Whether the server that is meant belongs to a stack of this home."""
        return self.endpoints is not None and self.elsewhere is None

    @property
    def asks_temporal(self) -> bool:
        """Whether it is known here where Temporal is: for a server elsewhere only if its address is set."""
        return self.elsewhere is None or self.settings.temporal_address is not None

    @property
    def address(self) -> str:
        """HOST:PORT of the Temporal that is meant here."""
        return temporal_address(self.settings, self.endpoints)

    @property
    def namespace(self) -> str:
        """The namespace that is meant here."""
        return temporal_namespace(self.settings, self.endpoints)

    @property
    def owns_temporal(self) -> bool:
        """Whether that Temporal is the stack's own."""
        return self.elsewhere is None and is_own_temporal(self.settings, self.endpoints)


def temporal_address(settings: Settings, found: Endpoints | None) -> str:
    """The address that the stack was started with, whatever this shell says; else what it would be started with."""
    return settings.temporal_target if found is None else found.temporal_address


def temporal_namespace(settings: Settings, found: Endpoints | None) -> str:
    """The same for the namespace."""
    return settings.temporal_namespace if found is None else found.namespace


def is_own_temporal(settings: Settings, found: Endpoints | None) -> bool:
    """Whether the Temporal that is meant is one that the stack runs."""
    return settings.runs_own_temporal if found is None else found.owns_temporal


def server_url(settings: Settings, found: Endpoints | None) -> str:
    """The same for the server, unless its URL was set by name."""
    return settings.server_target if found is None or settings.server_url is not None else found.server_url
