"""What a runner says of itself, in a small file of its home, for `status` and doctor: they may not ask its server.

One file a process, `run/runner-PID.json`, rewritten when something changes and removed when the runner ends. A file
whose process is gone does not count.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, write_atomically
from stigmer_cli.settings import Home
from stigmer_cli.supervisor.process import ProcessId

RECORDS_MAX = 64
SERVED = "served"


@dataclass(frozen=True, kw_only=True)
class RunnerRecord:
    """A runner, its link to its server, and why it takes up no work; `cause` is empty where it does.

    `state` is the link's: `served`, `asking`, `silent`, `refused`, `foreign`; `mismatched` where its Temporal is not
    the server's. `since` is RFC 3339. `clock_ahead_s` is how far its clock is ahead of the server's.
    """

    pid: int
    mark: str
    state: str
    cause: str
    server: str
    since: str
    store: str | None = None
    clock_ahead_s: float = 0.0

    @property
    def is_served(self) -> bool:
        """Whether it takes up work."""
        return self.state == SERVED

    @property
    def id(self) -> ProcessId:
        """Its process."""
        return ProcessId(pid=self.pid, mark=self.mark)


def write_runner_record(home: Home, record: RunnerRecord) -> None:
    """Say how this process, which `record` is about, stands; raises OSError, also where the home is gone."""
    path = _path(home, record.pid)
    path.parent.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
    write_atomically(path, json.dumps(asdict(record)).encode(), OWNER_ONLY, is_durable=False)


def remove_runner_record(home: Home) -> None:
    """Remove this process's file."""
    with suppress(OSError):
        _path(home, os.getpid()).unlink(missing_ok=True)


def read_runner_records(home: Home) -> tuple[RunnerRecord, ...]:
    """What the living runners of this home say, by pid."""
    records = [_read(path) for path in _files(home)]
    living = [one for one in records if one is not None and one.id.is_alive]
    return tuple(sorted(living, key=lambda record: record.pid))


def remove_dead_records(home: Home) -> None:
    """Remove what killed runners left."""
    for path in _files(home):
        record = _read(path)
        if record is None or not record.id.is_alive:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _files(home: Home) -> Sequence[Path]:
    return sorted(home.run.glob("runner-*.json"))[:RECORDS_MAX]


def _path(home: Home, pid: int) -> Path:
    return home.run / f"runner-{pid}.json"


def _read(path: Path) -> RunnerRecord | None:
    with suppress(OSError, ValueError, TypeError):
        return RunnerRecord(**json.loads(path.read_text(encoding="utf-8")))
    return None
