"""What a supervisor is asked to keep running, as data that travels through a pipe."""

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stigmer_cli.backoff import Backoff
from stigmer_cli.supervisor.policy import RestartPolicy

LOG_SIZE_MAX = 10 * 1024 * 1024
LOG_FILES_MAX = 3


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """How to see that a process which is alive also answers: send bytes to a TCP address, expect at least one back.

    A child that answered once and then stays silent for `silence_max_s` is stopped and started again.
    """

    host: str
    port: int
    question: str
    every_s: float = 4.0
    answer_within_s: float = 2.0
    silence_max_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class SourceFilter:
    """Ports of a child on which only who connects from the IPv4 address `source` is answered; see source_filter.py."""

    ports: tuple[int, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """One process: its command line, its whole environment, its log file, and how it is stopped and restarted.

    Children are stopped in ascending `stop_order`; those of one order together. `stop_signal` goes to the process
    itself, and after `stop_grace_s` SIGKILL to its whole group.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    log: Path
    stop_signal: int = signal.SIGTERM
    stop_grace_s: float = 3.0
    stop_order: int = 0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    liveness: Liveness | None = None
    source_filter: SourceFilter | None = None


@dataclass(frozen=True, kw_only=True)
class SupervisorSpec:
    """The set of children, the folder for lock, socket and state file, and the supervisor's own log."""

    folder: Path
    log: Path
    children: tuple[ChildSpec, ...]
    log_size_max: int = LOG_SIZE_MAX
    log_files_max: int = LOG_FILES_MAX

    def to_json(self) -> bytes:
        """For the pipe to the supervisor only: it holds the environment, and that holds secrets."""
        return json.dumps(asdict(self), default=str).encode()


def child_to_json(spec: ChildSpec) -> dict[str, object]:
    """For the owner's socket only: it holds the environment, and that holds secrets."""
    found: dict[str, object] = json.loads(json.dumps(asdict(spec), default=str))
    return found


def spec_from_json(text: bytes) -> SupervisorSpec:
    """The spec that `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    return SupervisorSpec(
        folder=Path(found["folder"]),
        log=Path(found["log"]),
        children=tuple(child_from_json(child) for child in found["children"]),
        log_size_max=int(found["log_size_max"]),
        log_files_max=int(found["log_files_max"]),
    )


def child_from_json(found: Mapping[str, object]) -> ChildSpec:
    """The spec that `child_to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
    raw: dict[str, object] = dict(found)
    raw.update(argv=tuple(_strings(found["argv"])), cwd=Path(str(found["cwd"])), log=Path(str(found["log"])))
    raw.update(restart=_policy(found["restart"]), liveness=_liveness(found["liveness"]))
    raw.update(source_filter=_source_filter(found.get("source_filter")))
    return ChildSpec(**raw)  # type: ignore[arg-type] # the names are those of asdict, and each was converted above


def _strings(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"not a list: {value!r}")
    return [str(item) for item in value]


def _policy(value: object) -> RestartPolicy:
    if not isinstance(value, dict):
        raise TypeError(f"not a policy: {value!r}")
    return RestartPolicy(**{**value, "backoff": Backoff(**value["backoff"])})


def _liveness(value: object) -> Liveness | None:
    return Liveness(**value) if isinstance(value, dict) else None


def _source_filter(value: object) -> SourceFilter | None:
    if not isinstance(value, dict):
        return None
    return SourceFilter(ports=tuple(int(port) for port in value["ports"]), source=str(value["source"]))
