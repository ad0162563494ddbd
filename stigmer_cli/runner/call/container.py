"""The containers that a task `run` runs, with docker or podman."""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

from stigmer_cli.clock import Clock
from stigmer_cli.runner.call.process import USUAL_PATH, Hear, list_arguments, run_process
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.expression.template import write_text
from stigmer_cli.workflow.json_value import Json

ENGINES = ("docker", "podman")
ENGINE_VARIABLES = (
    *("PATH", "HOME", "XDG_RUNTIME_DIR"),
    *("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINER_HOST"),
)
"""What an engine gets of the runner's own environment; the container gets nothing of it."""

PULLS: Mapping[str, str] = {"ifNotPresent": "missing", "always": "always", "never": "never"}
LABEL = "stigmer.workflow"
PERFORM_LABEL = "stigmer.perform"
"""Which performance of a task has started the container."""

REMOVE_LABEL = "stigmer.remove-at"
"""When a container may be removed, in seconds since 1970."""

ENGINE_FAILED = 125
"""The exit code of an engine that could not start a container: no image, no daemon, a name that is taken."""

REMOVE_S_MAX = 30.0
SAID_CHARS_MAX = 500


class ContainerProcess:
    """`run: container`: one container a task, which ends with it."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, hear: Hear | None = None) -> None:
        """`environ` is the runner's own environment; the engine is found in its PATH."""
        self._environ = {name: environ[name] for name in ENGINE_VARIABLES if name in environ}
        self._path = environ.get("PATH", USUAL_PATH)
        self._clock = clock
        self._hear = hear

    async def perform(self, settings: Mapping[str, Json]) -> Json:
        """Exit code, standard output and standard error. Raises WorkflowError.

        The container is removed where this is cancelled, and else as `lifetime.cleanup` says.
        """
        engine = next((found for name in ENGINES if (found := shutil.which(name, path=self._path))), None)
        if engine is None:
            raise make_error(
                ErrorType.CONFIGURATION, f"there is neither docker nor podman in {self._path}, which run containers"
            )
        await self._remove_due(engine)
        now_s = int(self._clock.now().timestamp())
        perform = uuid4().hex
        name = str(settings.get("name") or f"stigmer-{perform}")
        command = [engine, *list_words(settings, name, now_s, perform)]
        own = _mapping(settings, "environment")
        given = {
            "environment": {**own, **self._environ},
            **({"stdin": settings["stdin"]} if "stdin" in settings else {}),
        }
        has_ended = False
        try:
            left = await run_process(command, given, self._path, self._hear)
            has_ended = True
        finally:
            if not has_ended or _cleanup(settings) == "always":
                await self._remove_own(engine, perform)
        if isinstance(left, Mapping) and left["code"] == ENGINE_FAILED:
            said = " ".join(str(left["stderr"]).split())[-SAID_CHARS_MAX:]
            raise make_error(ErrorType.RUNTIME, f"the container cannot be run: {said}")
        return left

    async def _remove_due(self, engine: str) -> None:
        """Remove what earlier tasks left to be removed later, where its time has come."""
        now_s = self._clock.now().timestamp()
        form = f'{{{{.ID}}}} {{{{index .Config.Labels "{REMOVE_LABEL}"}}}}'
        ended = ["--filter", f"label={REMOVE_LABEL}", "--filter", "status=exited"]
        listed = (await self._ask(engine, ["ps", "--all", "--quiet", *ended])).split()
        if not listed:
            return
        told = [line.split() for line in (await self._ask(engine, ["inspect", "--format", form, *listed])).splitlines()]
        due = [line[0] for line in told if len(line) > 1 and line[1].isdigit() and int(line[1]) <= now_s]
        if due:
            await self._remove(engine, due)

    async def _remove_own(self, engine: str, perform: str) -> None:
        """Remove the container that this task has started: the one of that name may be somebody else's."""
        await _finish(self._find_and_remove(engine, perform), "removal of a container")

    async def _find_and_remove(self, engine: str, perform: str) -> None:
        filters = ["--filter", f"label={PERFORM_LABEL}={perform}"]
        if found := (await self._ask(engine, ["ps", "--all", "--quiet", *filters])).split():
            await self._ask(engine, ["rm", "--force", *found])

    async def _remove(self, engine: str, names: Sequence[str]) -> None:
        """Remove containers, running or not. A cancellation waits for it."""
        await _finish(self._ask(engine, ["rm", "--force", *names]), "removal of containers")

    async def _ask(self, engine: str, words: Sequence[str]) -> str:
        """What the engine writes; nothing where it fails or takes too long."""
        with suppress(OSError, TimeoutError):
            process = await asyncio.create_subprocess_exec(
                engine, *words, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=self._environ, start_new_session=True
            )
            try:
                async with asyncio.timeout(REMOVE_S_MAX):
                    content, _ = await process.communicate()
                return content.decode("utf-8", "replace") if process.returncode == 0 else ""
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return ""


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


def list_words(settings: Mapping[str, Json], name: str, now_s: int, perform: str) -> Sequence[str]:
    """The words of `run`. Values of the environment are not among them: who lists processes would see them."""
    words = [
        "run",
        "--name",
        name,
        "--label",
        f"{LABEL}=1",
        "--label",
        f"{PERFORM_LABEL}={perform}",
        "--pull",
        PULLS[str(settings.get("pullPolicy", "ifNotPresent"))],
    ]
    if _cleanup(settings) == "eventually":
        words += ["--label", f"{REMOVE_LABEL}={now_s + _find_delay_s(settings)}"]
    if "stdin" in settings:
        words.append("--interactive")
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
    return value
