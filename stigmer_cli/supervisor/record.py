"""What a supervisor writes down about itself and its children: no secrets, and enough to know each process again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, folder_number, write_atomically
from stigmer_cli.supervisor.process import ProcessId, pid_namespace

STATE_FILE = "supervisor.json"
LOCK_FILE = "supervisor.lock"
FOLDER = "folder"
"""The field that tells which folder the record is about: what a copy of the folder says is about other processes."""

SOCKET = "supervisor.sock"

Json = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class ExitRecord:
    """How a process ended: `code` or `signal` (its name), `at` in RFC 3339, `why` in words."""

    code: int | None = None
    signal: str | None = None
    at: str
    why: str

    def to_json(self) -> Json:
        """The JSON object; only what is known."""
        known = {"code": self.code, "signal": self.signal, "at": self.at, "why": self.why}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ChildRecord:
    """A child as it stands. `id` is None while no process runs; `failures` counts quick ends in a row."""

    name: str
    state: str
    id: ProcessId | None = None
    started_at: str | None = None
    uptime_s: float | None = None
    restarts: int = 0
    failures: int = 0
    last_exit: ExitRecord | None = None
    next_try_at: str | None = None
    log: str = ""
    dropped: int = 0

    def to_json(self) -> Json:
        """The JSON object."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.id.pid if self.id else None,
            "mark": self.id.mark if self.id else None,
            "startedAt": self.started_at,
            "uptimeS": self.uptime_s,
            "restarts": self.restarts,
            "failures": self.failures,
            "lastExit": self.last_exit.to_json() if self.last_exit else None,
            "nextTryAt": self.next_try_at,
            "log": self.log,
            "droppedBytes": self.dropped,
        }


@dataclass(frozen=True, kw_only=True)
class SupervisorRecord:
    """The supervisor and its children as they stand; their pids are those of `namespace`."""

    id: ProcessId
    started_at: str
    uptime_s: float | None = None
    is_stopping: bool = False
    children: tuple[ChildRecord, ...] = ()
    namespace: str = ""

    @property
    def is_visible(self) -> bool:
        """Whether its pids mean the same processes here; False from inside another container or sandbox."""
        return not self.namespace or self.namespace == pid_namespace()

    def child(self, name: str) -> ChildRecord | None:
        """The child called `name`."""
        return next((child for child in self.children if child.name == name), None)

    def to_json(self) -> Json:
        """The JSON object, as in the state file and on the socket."""
        return {
            "pid": self.id.pid,
            "mark": self.id.mark,
            "startedAt": self.started_at,
            "uptimeS": self.uptime_s,
            "stopping": self.is_stopping,
            "pidNamespace": self.namespace,
            "children": [child.to_json() for child in self.children],
        }


def record_from_json(found: Json) -> SupervisorRecord:
    """The record that `to_json` wrote; raises ValueError for anything else."""
    children = found.get("children")
    identity = _identity(found)
    if identity is None or not isinstance(children, list):
        raise ValueError("not the state of a supervisor")
    return SupervisorRecord(
        id=identity,
        started_at=str(found.get("startedAt") or ""),
        uptime_s=_number(found.get("uptimeS")),
        is_stopping=bool(found.get("stopping")),
        namespace=_text(found.get("pidNamespace")) or "",
        children=tuple(_child(child) for child in children if isinstance(child, dict)),
    )


def read_record(folder: Path) -> SupervisorRecord | None:
    """What the last supervisor of `folder` wrote down; None where there is nothing, nothing legible, or a copy."""
    try:
        found = json.loads((folder / STATE_FILE).read_bytes())
        return record_from_json(found) if found.get(FOLDER) in (None, folder_number(folder)) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: SupervisorRecord) -> None:
    """Write it down in `folder`, for `read_record`; raises OSError. After a power cut it would be about nobody."""
    text = json.dumps({**record.to_json(), FOLDER: folder_number(folder)}, indent=2) + "\n"
    write_atomically(folder / STATE_FILE, text.encode(), OWNER_ONLY, is_durable=False)


def _child(found: Json) -> ChildRecord:
    last = found.get("lastExit")
    return ChildRecord(
        name=str(found.get("name")),
        state=str(found.get("state")),
        id=_identity(found),
        started_at=_text(found.get("startedAt")),
        uptime_s=_number(found.get("uptimeS")),
        restarts=int(_number(found.get("restarts")) or 0),
        failures=int(_number(found.get("failures")) or 0),
        last_exit=_exit(last) if isinstance(last, dict) else None,
        next_try_at=_text(found.get("nextTryAt")),
        log=str(found.get("log") or ""),
        dropped=int(_number(found.get("droppedBytes")) or 0),
    )


def _exit(found: Json) -> ExitRecord:
    code = _number(found.get("code"))
    return ExitRecord(
        code=None if code is None else int(code),
        signal=_text(found.get("signal")),
        at=str(found.get("at") or ""),
        why=str(found.get("why") or ""),
    )


def _identity(found: Json) -> ProcessId | None:
    pid, mark = found.get("pid"), found.get("mark")
    return ProcessId(pid=pid, mark=mark) if isinstance(pid, int) and isinstance(mark, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
