"""One operating system process: how it is identified, started, signalled and reaped."""

import asyncio
import contextlib
import ctypes
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from stigmer_cli.supervisor.pidfd import open_process, send_signal
from stigmer_cli.supervisor.spec import ChildSpec

IS_LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
CHUNK = 64 * 1024
CHUNKS_MAX = 16
"""Reads in one turn of the loop: a child that writes a lot must not delay the others."""

ORPHANED_EXIT = 70


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process, identified by its pid and `mark`, which says when it started and is never reused for that pid."""

    pid: int
    mark: str

    @property
    def tag(self) -> str:
        """The mark in eight hexadecimal digits, for names that others see: in a container a pid comes again at once."""
        mark = self.mark.encode()
        try:
            return hashlib.blake2s(mark, digest_size=4).hexdigest()
        except (AttributeError, TypeError, ValueError):  # no algorithm of FIPS 140, and no other may be allowed
            return hashlib.sha256(mark).hexdigest()[:8]

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return start_mark(self.pid) == self.mark

    def send(self, number: int) -> bool:
        """Signal it, and only it; False where it is gone or its pid belongs to somebody else now."""
        handle = _open_process(self.pid)
        if handle is None:
            return self.is_alive and _try_signal(os.kill, self.pid, number)
        try:
            # The handle was opened before the mark is compared, so what is signalled is what was compared.
            return self.is_alive and _try_signal(send_signal, handle, number)
        finally:
            os.close(handle)

    def kill_group(self) -> bool:
        """SIGKILL it and, where it leads a process group, the whole group; False where it is gone."""
        if not self.is_alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                return _try_signal(os.killpg, self.pid, signal.SIGKILL)
        return self.send(signal.SIGKILL)


def _open_process(pid: int) -> int | None:
    """The handle of process `pid`, to be closed; None where the system has none, or does not let us."""
    if not IS_LINUX:
        return None
    try:
        return open_process(pid)
    except OSError:
        return None


@cache
def pid_namespace() -> str:
    """The pid namespace of this process (pid_namespaces(7)); empty where the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def start_mark(pid: int) -> str | None:
    """When process `pid` started, in a form that no clock change alters; None where there is none, or a zombie.

    On Linux the boot id and clock ticks since boot (proc(5), field 22): psutil's create time moves with the wall clock.
    """
    return _linux_mark(pid) if IS_LINUX else _portable_mark(pid)


def run_state(pid: int) -> str | None:
    """The state of process `pid` as proc(5) writes it: R, S, D, T, t, Z; None where there is no such process."""
    if IS_LINUX:
        fields = _stat_fields(pid)
        return fields[0].decode() if fields else None
    import psutil  # noqa: PLC0415 - only where there is no /proc

    letters = {
        psutil.STATUS_STOPPED: "T",
        psutil.STATUS_TRACING_STOP: "t",
        psutil.STATUS_ZOMBIE: "Z",
        psutil.STATUS_DISK_SLEEP: "D",
    }
    try:
        return letters.get(psutil.Process(pid).status(), "S")
    except psutil.Error:
        return None


def _stat_fields(pid: int) -> list[bytes]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return stat[stat.rindex(b")") + 2 :].split()


def _linux_mark(pid: int) -> str | None:
    fields = _stat_fields(pid)
    if not fields:
        return None
    return None if fields[0] in (b"Z", b"X") else f"{_boot_id()}:{int(fields[19])}"


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _portable_mark(pid: int) -> str | None:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def myself() -> ProcessId:
    """The calling process."""
    return ProcessId(pid=os.getpid(), mark=start_mark(os.getpid()) or "unknown")


class Process:
    """A child that runs in a session and process group of its own, with its output in a pipe to us.

    Its exit is noticed by `Reaper`; `code` is then its exit code, or minus the signal that ended it.
    """

    def __init__(self, spec: ChildSpec, *, on_output: Callable[[bytes], None], on_exit: Callable[[], None]) -> None:
        """Start it; raises OSError where it cannot be started."""
        self._on_output, self._on_exit = on_output, on_exit
        self._loop = asyncio.get_running_loop()
        self._output, writer = os.pipe()
        try:
            self._popen = subprocess.Popen(
                spec.argv,
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
                # Safe here although marked unsafe: the supervisor has one thread, and nothing is allocated or locked.
                preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509
            )
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            os.close(self._output)
            raise OSError(_why_not_started(spec, error)) from error
        finally:
            os.close(writer)
        self.id = ProcessId(pid=self._popen.pid, mark=start_mark(self._popen.pid) or "unknown")
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._read)

    @property
    def code(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        return self._popen.returncode

    def send(self, number: int) -> None:
        """Signal the process itself; nothing where it has ended."""
        if self.code is None:  # not reaped, so the pid is still its own
            _try_signal(os.kill, self.id.pid, number)

    def kill_group(self) -> None:
        """SIGKILL the process and everything in its group."""
        if self.code is None:
            _try_signal(os.killpg, self.id.pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Whether it has ended; then what is left of its group is killed and the rest of its output is taken."""
        if not self._is_waiting_to_be_reaped():
            return False
        # The zombie still holds the number, so the group cannot be anybody else's yet.
        _try_signal(os.killpg, self.id.pid, signal.SIGKILL)
        self._popen.wait()
        self._close_output()
        self._on_exit()
        return True

    def _is_waiting_to_be_reaped(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: reaped by the look itself
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.id.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _read(self) -> None:
        for _ in range(CHUNKS_MAX):
            try:
                chunk = os.read(self._output, CHUNK)
            except BlockingIOError:
                return
            if not chunk:  # everybody closed it; the exit is told by SIGCHLD, not by this
                self._loop.remove_reader(self._output)
                return
            self._on_output(chunk)

    def _close_output(self) -> None:
        self._loop.remove_reader(self._output)
        self._read()
        os.close(self._output)


class Reaper:
    """Learns from SIGCHLD which children have ended: no thread, no polling. One per event loop, in the main thread."""

    def __init__(self) -> None:
        self._watched: set[Process] = set()

    def __enter__(self) -> Self:
        """Start listening."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def watch(self, process: Process) -> None:
        """Reap `process` when it ends, even if it has ended already."""
        self._watched.add(process)
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._watched = {process for process in self._watched if not process.reap()}


def _try_signal(send: Callable[[int, int], None], target: int, number: int) -> bool:
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return False
    return True


def _why_not_started(spec: ChildSpec, error: Exception) -> str:
    """Why, with what is missing: the system's own words name the program where its interpreter is what is gone."""
    if isinstance(error, FileNotFoundError) and not Path(spec.argv[0]).exists():
        return f"its program {spec.argv[0]} is gone: it was moved, removed or upgraded"
    return str(error)


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child does between fork and exec so that the kernel kills it when `parent` dies; Linux only.

    Elsewhere the next supervisor of the same folder ends what the dead one left (see supervisor.py).
    """
    if not IS_LINUX:
        return None
    prctl = _prctl()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above could take effect
            os._exit(ORPHANED_EXIT)

    return arm


@cache
def _prctl() -> Callable[..., int]:
    found: Callable[..., int] = ctypes.CDLL(None).prctl
    return found
