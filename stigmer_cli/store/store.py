"""The store: agents, executions, what runs report, timelines, and whether all of it can be relied on."""

from collections.abc import Awaitable, Generator
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from stigmer_cli.clock import Clock
from stigmer_cli.store import migrate
from stigmer_cli.store.agents import AgentTable
from stigmer_cli.store.database import Database
from stigmer_cli.store.engine import open_backend
from stigmer_cli.store.events import EventTable
from stigmer_cli.store.executions import ExecutionTable
from stigmer_cli.store.meta import MetaTable
from stigmer_cli.store.runs import RunTable

STORE_ID = "store_id"
BUSY_TIMEOUT_S = 5.0


class Store:
    """One open database; its tables are its fields."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.agents = AgentTable(database)
        self.executions = ExecutionTable(database)
        self.runs = RunTable(database)
        self.events = EventTable(database)
        self.meta = MetaTable(database)
        self.kind = database.kind
