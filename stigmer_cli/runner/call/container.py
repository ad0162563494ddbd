"""The containers that a task `run` runs, with docker or podman."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Coroutine, Mapping, Sequence
from uuid import uuid4

from stigmer_cli.clock import Clock
from stigmer_cli.errors import reason_of
from stigmer_cli.runner.call.container_engine import (
    ALWAYS,
    CLEANUP_LABEL,
    ENGINE_VARIABLES,
    ContainerOwner,
    Engine,
    find_engine,
    select_variables,
)
from stigmer_cli.runner.call.process import USUAL_PATH, Hear, list_arguments, run_process
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.template import write_text
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import StepPlace

PULLS: Mapping[str, str] = {"ifNotPresent": "missing", "always": "always", "never": "never"}
LABEL = "stigmer.workflow"
PERFORM_LABEL = "stigmer.perform"
"""Which performance of a task has started the container."""

EXECUTION_LABEL, STEP_LABEL = "stigmer.execution", "stigmer.step"
REMOVE_LABEL = "stigmer.remove-at"
"""When a container may be removed, in seconds since 1970."""

ENGINE_FAILED = 125
"""The exit code of an engine that could not start a container: no image, no daemon, a name that is taken."""

SAID_CHARS_MAX = 500


class ContainerProcess:
    """`run: container`: one container a task, which ends with it, unless it is detached."""

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Clock,
        hear: Hear | None = None,
        owner: ContainerOwner | None = None,
        *,
        is_detached: bool = False,
    ) -> None:
        """`environ` is the runner's own environment; the engine is found in its PATH.

        `is_detached`: a container is only started, and the engine keeps it. It has no `owner`, with which it would end.
        """
        self._is_detached = is_detached
        self._environ = environ
        self._path = environ.get("PATH", USUAL_PATH)
        self._clock = clock
        self._hear = hear
        self._owner = owner or ContainerOwner(None)

    async def perform(self, settings: Mapping[str, Json], place: StepPlace) -> Json:
        """Exit code, standard output and standard error; of a detached one what started it left. Raises WorkflowError.

        The container is removed where this is cancelled, and else as `lifetime.cleanup` says.
        """
        engine = find_engine(self._environ, self._path)
        if engine is None:
            raise make_error(
                ErrorType.CONFIGURATION, f"there is neither docker nor podman in {self._path}, which run containers"
            )
        self._owner.hold()
        await self._owner.remove_left(self._environ, self._path)
        await self._remove_due(engine)
        now_s = int(self._clock.now().timestamp())
        perform = uuid4().hex
        name = str(settings.get("name") or f"stigmer-{perform}")
        labels = [*list_labels(settings, place, now_s, perform), *self._owner.labels]
        command = [engine.program, *list_words(settings, name, labels, is_detached=self._is_detached)]
        environment: Mapping[str, Json] = {**_mapping(settings, "environment"), **select_variables(self._environ)}
        has_ended = False
        try:
            if self._is_detached:
                left = await _start(command, environment)
            else:
                given = {name: settings[name] for name in ("stdin",) if name in settings}
                left = await run_process(command, {**given, "environment": environment}, self._path, self._hear)
            has_ended = True
        finally:
            if not has_ended or (_cleanup(settings) == ALWAYS and not self._is_detached):
                await self._remove_own(engine, perform)
        if isinstance(left, Mapping) and left["code"] == ENGINE_FAILED:
            raise _explain_start(left["stderr"])
        return left

    async def _remove_due(self, engine: Engine) -> None:
        """Remove what earlier tasks left to be removed later, where its time has come."""
        now_s = self._clock.now().timestamp()
        form = f'{{{{.ID}}}} {{{{index .Config.Labels "{REMOVE_LABEL}"}}}}'
        listed = await engine.list(f"label={REMOVE_LABEL}", "status=exited")
        if not listed:
            return
        told = [line.split() for line in (await engine.ask("inspect", "--format", form, *listed) or "").splitlines()]
        due = [line[0] for line in told if len(line) > 1 and line[1].isdigit() and int(line[1]) <= now_s]
        await _finish(engine.remove(due), "removal of containers")

    async def _remove_own(self, engine: Engine, perform: str) -> None:
        """Remove the container that this task has started: the one of that name may be somebody else's."""
        await _finish(_find_and_remove(engine, perform), "removal of a container")


async def _find_and_remove(engine: Engine, perform: str) -> None:
    await engine.remove(await engine.list(f"label={PERFORM_LABEL}={perform}") or [])


async def _start(command: Sequence[str], environment: Mapping[str, Json]) -> Json:
    """What the engine left once it has started a container. Raises WorkflowError.

    Podman has no daemon: what it leaves behind keeps the container, and must not end with this process.
    """
    variables = {name: write_text(value) for name, value in environment.items()}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=variables, start_new_session=True
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise make_error(ErrorType.RUNTIME, f"{command[0]} cannot be started: {reason_of(error)}") from error
    try:
        output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise _explain_start(said.decode("utf-8", "replace"))
    return {"code": 0, "stdout": output.decode("utf-8", "replace"), "stderr": said.decode("utf-8", "replace")}


def _explain_start(said: Json) -> WorkflowError:
    words = " ".join(str(said).split())[-SAID_CHARS_MAX:]
    return make_error(ErrorType.RUNTIME, f"the container cannot be run: {words}")


async def _finish(work: Coroutine[object, object, object], name: str) -> None:
    """Do it to its end: a cancellation waits for that."""
    was_cancelled = False
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name=name)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                was_cancelled = True
    if was_cancelled:
        raise asyncio.CancelledError


def list_labels(settings: Mapping[str, Json], place: StepPlace, now_s: int, perform: str) -> Sequence[str]:
    """What says whose container it is, and when it may be removed."""
    labels = [
        f"{LABEL}=1",
        f"{PERFORM_LABEL}={perform}",
        f"{EXECUTION_LABEL}={place.execution}",
        f"{STEP_LABEL}={place.key}",
        f"{CLEANUP_LABEL}={_cleanup(settings)}",
    ]
    if _cleanup(settings) == "eventually":
        labels.append(f"{REMOVE_LABEL}={now_s + _find_delay_s(settings)}")
    return labels


def list_words(
    settings: Mapping[str, Json], name: str, labels: Sequence[str], *, is_detached: bool = False
) -> Sequence[str]:
    """The words of `run`. Values of the environment are not among them: who lists processes would see them."""
    words = ["run", "--name", name, "--pull", PULLS[str(settings.get("pullPolicy", "ifNotPresent"))]]
    for label in labels:
        words += ["--label", label]
    if "stdin" in settings:
        words.append("--interactive")
    if is_detached:
        words += ["--detach", *(["--rm"] if _cleanup(settings) == ALWAYS else [])]
    for variable, value in _mapping(settings, "environment").items():
        words += ["--env", f"{variable}={write_text(value)}" if variable in ENGINE_VARIABLES else variable]
    for outside, inside in _mapping(settings, "ports").items():
        words += ["--publish", f"{outside}:{write_text(inside)}"]
    for outside, inside in _mapping(settings, "volumes").items():
        words += ["--volume", f"{outside}:{write_text(inside)}"]
    command, image = settings.get("command"), str(settings["image"])
    if command is None:
        return [*words, image, *list_arguments(settings)]
    return [*words, "--entrypoint", "/bin/sh", image, "-c", str(command), "sh", *list_arguments(settings)]


def _cleanup(settings: Mapping[str, Json]) -> str:
    return str(_mapping(settings, "lifetime").get("cleanup", "never"))


def _find_delay_s(settings: Mapping[str, Json]) -> int:
    try:
        return parse_duration(_mapping(settings, "lifetime").get("after")) // 1_000
    except ValueError as error:
        raise make_error(ErrorType.CONFIGURATION, f"lifetime.after of the container: {error}") from error


def _mapping(settings: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = settings.get(name) or {}
    if not isinstance(value, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"{name} of the container is no mapping")
    return {key: inner for key, inner in value.items() if inner is not None}
