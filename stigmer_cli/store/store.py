"""The store: agents, workflows, executions, what runs report, timelines, and whether all of it can be relied on."""

from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import func, select, text
from ulid import ULID

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import STORE_PREFIX, StoreId
from stigmer_cli.store import migrate
from stigmer_cli.store.agent_versions import AgentVersionTable
from stigmer_cli.store.agents import AgentTable
from stigmer_cli.store.children import ChildTable
from stigmer_cli.store.clock import ASK_EVERY_S
from stigmer_cli.store.cloud_events import CloudEventTable
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Database
from stigmer_cli.store.engine import open_backend
from stigmer_cli.store.events import EventTable
from stigmer_cli.store.executions import ExecutionTable
from stigmer_cli.store.meta import MetaTable
from stigmer_cli.store.progress import ProgressTable
from stigmer_cli.store.pruning import PruneTable
from stigmer_cli.store.resuming import ResumeTable
from stigmer_cli.store.runs import RunTable
from stigmer_cli.store.schedules import ScheduleTable
from stigmer_cli.store.secrets import SecretTable
from stigmer_cli.store.servers import ServerTable
from stigmer_cli.store.sessions import SessionTable
from stigmer_cli.store.steps import StepTable
from stigmer_cli.store.tasks import TaskTable
from stigmer_cli.store.usage_totals import UsageTable
from stigmer_cli.store.waits import WaitTable
from stigmer_cli.store.workflows import WorkflowTable
from stigmer_cli.store.writer_queue import WriterLoad

STORE_ID = "store_id"
BUSY_TIMEOUT_S = 5.0


class Store:
    """One open database; its tables are its fields. `id` was made with it, and is copied with its data."""

    def __init__(self, database: Database, store_id: StoreId) -> None:
        self._database = database
        self.id = store_id
        self.clock = database.clock
        self.agents = AgentTable(database)
        self.agent_versions = AgentVersionTable(database)
        self.executions = ExecutionTable(database, store_id)
        self.runs = RunTable(database, store_id)
        self.steps = StepTable(database)
        self.tasks = TaskTable(database)
        self.workflows = WorkflowTable(database)
        self.events = EventTable(database)
        self.cloud_events = CloudEventTable(database, store_id)
        self.schedules = ScheduleTable(database, store_id)
        self.progress = ProgressTable(database)
        self.waits = WaitTable(database, store_id)
        self.children = ChildTable(database, store_id)
        self.resuming = ResumeTable(database, store_id)
        self.pruning = PruneTable(database)
        self.sessions = SessionTable(database)
        self.meta = MetaTable(database)
        self.servers = ServerTable(database)
        self.usage = UsageTable(database)
        self.secrets = SecretTable(database)
        self.kind = database.kind

    @property
    def is_shared(self) -> bool:
        """Whether several servers may have it open; a SQLite file is locked by one."""
        return self._database.is_shared

    @property
    def writes(self) -> int | None:
        """Another number once something has been written; None if other servers may write, whom nobody counts.

        While it stays the same, what was read before it was taken would be read again.
        """
        return None if self.is_shared else self._database.writes

    @property
    def load(self) -> WriterLoad:
        """How long a write waits now."""
        return self._database.queue.load

    def refuse_if_full(self) -> None:
        """Raise ServerBusy where a write for a person would be refused now: then nothing has to be read for it."""
        self._database.queue.refuse_if_full()

    @property
    def written_at_s(self) -> float | None:
        """When a transaction was committed last, on the monotonic clock; None: none was."""
        return self._database.written_at_s

    async def sync_clock(self) -> None:
        """Set the store's clock by the database's where several servers share it; raises Unavailable."""
        if self.is_shared:
            asked_s = self.clock.monotonic()
            async with self._database.reading() as connection:
                micros = func.floor(func.extract("epoch", func.clock_timestamp()) * 1_000_000)
                self.clock.hear((await connection.execute(select(micros.cast(Moment)))).scalar_one(), asked_s=asked_s)

    async def keep_clock_in_sync(self) -> None:
        """Call `sync_clock` every `ASK_EVERY_S` seconds until cancelled."""
        while True:
            await self.sync_clock()
            await self.clock.sleep(ASK_EVERY_S)

    async def check(self) -> None:
        """Raise a StigmerError if the store cannot be relied on (its file included); takes at most a second."""
        await self._database.check()

    async def schema_revision(self) -> str:
        """The revision of the schema, as the migrations name it."""
        async with self._database.reading() as connection:
            return str(await connection.scalar(text("SELECT version_num FROM alembic_version")))

    async def close(self) -> None:
        """Close every connection and release the file's lock."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_store(
    url: str,
    *,
    clock: Clock,
    owner: str = "",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    scripts: Path = migrate.SCRIPTS,
) -> Store:
    """Open and, where its schema is old, upgrade the store at `url` (`sqlite:///PATH` or `postgresql://...`).

    `owner` is written into the lock of a file, to be named by a process that finds it locked. A writer waits
    `busy_timeout_s` for another one. `scripts` is the folder of the migrations. A SQLite file is copied into
    `backups` before an upgrade.

    Raises ConfigError for the URL; MachineError for a file that is in use, damaged, of a newer Stigmer or on a full
    disk; StoreBusy or Unavailable for a database that does not answer.
    """
    backend = await open_backend(url, clock=clock, owner=owner, busy_timeout_s=busy_timeout_s, scripts=scripts)
    database = Database(backend, clock)
    try:
        found = await MetaTable(database).get_or_set(STORE_ID, new_store_id(clock))
    except BaseException:
        await database.close()
        raise
    return Store(database, StoreId(found))


def new_store_id(clock: Clock) -> StoreId:
    """An id that no other store has: `str-` and a ULID."""
    return StoreId(f"{STORE_PREFIX}-{ULID.from_datetime(clock.now())}".lower())
