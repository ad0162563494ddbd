"""The processes that a task `run` starts: a command of the shell, a script of Python or JavaScript.

They are started as tool servers are: each leads a process group, and ends with its runner, however that ends.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from stigmer_cli.domain.event import EXECUTION_VARIABLE
from stigmer_cli.errors import reason_of
from stigmer_cli.tool_server import launch
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.template import write_text
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import StepPlace

OUTPUT_BYTES_MAX = 2 * 1024 * 1024
"""How much a process may write to standard output, and to standard error: twice that still fits a step as JSON."""

READ_BYTES = 65_536
ENDED_S_MAX = 5.0
"""How long the pipes of a killed process may stay open: something that left its group may hold them for ever."""

HELD_S_MAX = 3.0
"""How long the pipes of a process are read that has ended, where something that it started holds them."""

ENDED_EVERY_S = 0.25
"""How often it is looked whether a process has ended whose pipes are open."""

LINES_MAX = 500
"""How many lines of what a process writes to standard error are heard."""

LINE_CHARS_MAX = 2_000

Hear = Callable[[str], None]
"""Takes a line that a process wrote to standard error, as it comes."""

SHELL = "/bin/sh"
USUAL_PATH = "/usr/local/bin:/usr/bin:/bin"
SCRIPT_FILES: Mapping[str, str] = {"python": "script.py", "js": "script.mjs"}


class ShellProcess:
    """`run: shell`: the arguments are `$1`, `$2` and so on."""

    def __init__(self, path: str = USUAL_PATH, hear: Hear | None = None) -> None:
        """`path` is the PATH of the processes, which have that, their own variables, and the id of their execution."""
        self._path = path
        self._hear = hear

    async def perform(self, settings: Mapping[str, Json], place: StepPlace | None = None) -> Json:
        """Exit code, standard output and standard error. Raises WorkflowError."""
        command = [SHELL, "-c", str(settings["command"]), "sh", *list_arguments(settings)]
        return await run_process(command, _name_execution(settings, place), self._path, self._hear)


class ScriptProcess:
    """`run: script`: in a file of a folder of its own, with this Python, or with the `node` of the PATH."""

    def __init__(self, path: str = USUAL_PATH, hear: Hear | None = None) -> None:
        self._path = path
        self._hear = hear

    async def perform(self, settings: Mapping[str, Json], place: StepPlace | None = None) -> Json:
        """Exit code, standard output and standard error. Raises WorkflowError."""
        language = str(settings["language"])
        if language not in SCRIPT_FILES:
            raise make_error(
                ErrorType.CONFIGURATION, f"no script of the language {language} can be run, only python and js"
            )
        program = sys.executable if language == "python" else shutil.which("node", path=self._path)
        if program is None:
            raise make_error(
                ErrorType.CONFIGURATION, f"there is no node in {self._path}, which runs scripts of the language js"
            )
        with _make_folder() as folder:
            file = Path(folder) / SCRIPT_FILES[language]
            try:
                await asyncio.to_thread(file.write_text, str(settings["code"]), "utf-8")
            except OSError as error:
                raise _explain_disk(error) from error
            command = [program, str(file), *list_arguments(settings)]
            return await run_process(command, _name_execution(settings, place), self._path, self._hear)


def _name_execution(settings: Mapping[str, Json], place: StepPlace | None) -> Mapping[str, Json]:
    """`settings` with the execution in the environment: an event that the process sends is one of its chain."""
    if place is None:
        return settings
    own = cast("Mapping[str, Json]", settings.get("environment") or {})
    return {**settings, "environment": {EXECUTION_VARIABLE: place.execution, **own}}


def _make_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed with what is in it. Raises WorkflowError: nothing has been done by then."""
    try:
        return tempfile.TemporaryDirectory(prefix="stigmer-script-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _explain_disk(error) from error


def _explain_disk(error: OSError) -> WorkflowError:
    return make_error(ErrorType.RUNTIME, f"the script cannot be written to a temporary file: {reason_of(error)}")


def list_arguments(settings: Mapping[str, Json]) -> Sequence[str]:
    """The arguments; those of a mapping, as catalogs have it, as `--name value`, without what is null or false."""
    given = settings.get("arguments") or ()
    if not isinstance(given, Mapping):
        return [write_text(argument) for argument in cast("Sequence[Json]", given)]
    named = [(f"--{name}", value) for name, value in given.items() if value is not None and value is not False]
    return [word for name, value in named for word in ([name] if value is True else [name, write_text(value)])]


async def run_process(command: Sequence[str], settings: Mapping[str, Json], path: str, hear: Hear | None) -> Json:
    """Exit code, standard output and standard error of `command`, in whose environment are PATH and `environment`.

    What is null there is not set.
    It is ended with all that it started where this is cancelled. Raises WorkflowError.
    """
    own = cast("Mapping[str, Json]", settings.get("environment") or {})
    environment = {"PATH": path, **{name: write_text(value) for name, value in own.items() if value is not None}}
    kept = ",".join(environment)
    if kept.count(",") != len(environment) - 1:
        raise make_error(ErrorType.CONFIGURATION, f"the name of a variable has no comma: {kept}")
    launched = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), kept, *command]
    given = settings.get("stdin")
    try:
        # A session of its own, so that what the process starts can be ended with it.
        process = await asyncio.create_subprocess_exec(
            *launched, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise make_error(ErrorType.RUNTIME, f"{command[0]} cannot be started: {reason_of(error)}") from error
    try:
        text = b"" if given is None else write_text(given).encode("utf-8", "replace")
        return await _communicate(process, text, hear)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """End what is left of the process and of what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # asyncio waits for the pipes as well, and a pipe that nobody reads is not seen to have ended.
    with suppress(TimeoutError):
        async with asyncio.timeout(ENDED_S_MAX):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(READ_BYTES):
                    pass
            await process.wait()


async def _communicate(process: Process, given: bytes, hear: Hear | None) -> Json:
    assert process.stdout is not None  # noqa: S101 - all three are pipes
    assert process.stderr is not None  # noqa: S101
    output, error = _Output("output"), _Output("error", hear)
    try:
        async with asyncio.TaskGroup() as group:
            left = {
                group.create_task(output.read(process.stdout), name="standard output"),
                group.create_task(error.read(process.stderr), name="standard error"),
                group.create_task(_write(process, given), name="standard input"),
            }
            while left and process.returncode is None:
                _, left = await asyncio.wait(left, timeout=ENDED_EVERY_S)
            if left:
                _, left = await asyncio.wait(left, timeout=HELD_S_MAX)
            for task in left:  # something that the process started and left behind has its pipes
                task.cancel()
    except* TooMuch as group_of:
        raise make_error(ErrorType.RUNTIME, str(group_of.exceptions[0])) from None
    return {"code": await process.wait(), "stdout": output.read_text(), "stderr": error.read_text()}


class TooMuch(Exception):
    """The process wrote more than is kept."""


class _Output:
    """What a process writes to a pipe."""

    def __init__(self, name: str, hear: Hear | None = None) -> None:
        self._name = name
        self._found, self._lines = bytearray(), _Lines(hear)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read it to its end. Raises TooMuch."""
        while part := await stream.read(READ_BYTES):
            self._found += part
            self._lines.feed(part)
            if len(self._found) > OUTPUT_BYTES_MAX:
                raise TooMuch(f"the process wrote more than {OUTPUT_BYTES_MAX:,} bytes to standard {self._name}")

    def read_text(self) -> str:
        """What was read, as text."""
        self._lines.feed(b"\n")
        return self._found.decode("utf-8", "replace")


class _Lines:
    """Lines as they come, and each without an end that is too long."""

    def __init__(self, hear: Hear | None) -> None:
        self._hear = hear
        self._begun = b""
        self._count = 0

    def feed(self, part: bytes) -> None:
        """Have the lines heard that end in `part`."""
        if self._hear is None or self._count >= LINES_MAX:
            return
        *ended, begun = (self._begun + part).split(b"\n")
        self._begun = begun[:LINE_CHARS_MAX]
        for line in ended[: LINES_MAX - self._count]:
            if text := line.decode("utf-8", "replace").strip():
                self._count += 1
                self._hear(text[:LINE_CHARS_MAX])


async def _write(process: Process, given: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(ConnectionError):  # it need not read it
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
