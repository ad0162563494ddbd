"""Starts a supervisor that outlives the terminal, and returns when it is ready."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.errors import Conflict, MachineError, TimedOut, reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.files import OWNER_ONLY
from stigmer_cli.supervisor.process import ProcessId, start_mark
from stigmer_cli.supervisor.spec import SupervisorSpec
from stigmer_cli.time_format import span

LAUNCH_MAX_S = 15.0
"""Of the time in which it could work: on a busy machine it may take longer."""

LAUNCH_ON_WALL_S = 60.0
END_MAX_S = 12.0
LOOK_EVERY_S = 0.02


async def launch(
    spec: SupervisorSpec, *, environ: Mapping[str, str], clock: Clock, keeps: Sequence[int] = ()
) -> ProcessId:
    """Start it detached and return who it is, once its socket answers and every child was started.

    It inherits the file descriptors `keeps`, and holds them for as long as it lives; its children do not.
    Raises Conflict where another supervisor holds the folder, MachineError where it cannot stand, TimedOut after
    `LAUNCH_MAX_S`, and after `LAUNCH_ON_WALL_S` by the clock. Where this is cancelled, or raises, nothing that it
    started stays.
    """
    process = _spawn(spec, environ, keeps)
    identity = ProcessId(pid=process.pid, mark=start_mark(process.pid) or "unknown")
    began_s = clock.monotonic()
    try:
        async with asyncio.timeout(LAUNCH_ON_WALL_S), FairTimeout(LAUNCH_MAX_S, waits_for=(process.pid,)):
            await _hand_over(process, spec)
            answer = await _answer_of(process)
    except TimeoutError:
        await end_launched(process, clock)
        took_s = clock.monotonic() - began_s
        raise TimedOut(f"the supervisor did not start within {span(took_s)}", hint=f"see {spec.log}") from None
    except BaseException:
        await end_launched(process, clock)
        raise
    if answer.get("ready"):
        process.returncode = 0  # it is on its own now; without this Popen warns that it still runs
        return identity
    await end_launched(process, clock)
    if answer.get("held"):
        raise Conflict(str(answer.get("error")), hint="stigmer status")
    raise MachineError(
        f"the supervisor cannot start: {answer.get('error') or f'it ended with exit code {process.returncode}'}",
        hint=f"see {spec.log}",
    )


def _spawn(spec: SupervisorSpec, environ: Mapping[str, str], keeps: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        spec.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    except OSError as error:
        raise MachineError(
            f"cannot write {spec.log}: {reason_of(error)}", hint="free space, or make it writable"
        ) from error
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "stigmer_cli.supervisor"],
            env=dict(environ),
            cwd=spec.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            pass_fds=tuple(keeps),
        )
    except OSError as error:
        raise MachineError(f"cannot start the supervisor: {error}", hint="stigmer doctor") from error
    finally:
        os.close(log)


async def _hand_over(process: subprocess.Popen[bytes], spec: SupervisorSpec) -> None:
    """Write the spec into its standard input without holding up the loop, should it be larger than the pipe."""
    if process.stdin is None:
        raise TypeError("started without a pipe")
    fd, data = process.stdin.fileno(), memoryview(spec.to_json())
    os.set_blocking(fd, False)
    with contextlib.suppress(BrokenPipeError):  # it died; its answer, or its end, says why
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                await _wait_until_ready(fd, is_write=True)
    process.stdin.close()


async def _answer_of(process: subprocess.Popen[bytes]) -> Mapping[str, object]:
    """The line it says about itself; empty where it ended without one."""
    if process.stdout is None:
        raise TypeError("started without a pipe")
    fd, text = process.stdout.fileno(), b""
    os.set_blocking(fd, False)
    while b"\n" not in text:
        await _wait_until_ready(fd, is_write=False)
        chunk = os.read(fd, 4096)
        if not chunk:
            return {}
        text += chunk
    process.stdout.close()
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


async def _wait_until_ready(fd: int, *, is_write: bool) -> None:
    loop, happened = asyncio.get_running_loop(), asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if is_write else (loop.add_reader, loop.remove_reader)
    add(fd, happened.set)
    try:
        await happened.wait()
    finally:
        remove(fd)


async def end_launched(process: subprocess.Popen[bytes], clock: Clock) -> None:
    """End what was started: asked first, so that it ends its own children, then killed, and they die with it.

    Where this is cancelled it is killed at once, and this returns with its end all the same.
    """
    deadline, was_cancelled = clock.monotonic() + END_MAX_S, False
    process.terminate()
    while process.poll() is None:
        if was_cancelled or clock.monotonic() >= deadline:
            process.kill()
        try:
            await clock.sleep(LOOK_EVERY_S)
        except asyncio.CancelledError:
            was_cancelled = True
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    if was_cancelled:
        raise asyncio.CancelledError
