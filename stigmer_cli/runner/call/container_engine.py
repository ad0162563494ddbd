"""The engine that runs containers, docker or podman, and the containers that a killed runner has left to it.

A runner that runs containers holds a lock on a file of its home, whose name is a label of each of them. The kernel
drops the lock when that runner dies. The next one in that home can take it then, and removes what has that label.
"""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import structlog

from stigmer_cli.files import OWNER_ONLY_FOLDER
from stigmer_cli.supervisor.lock import FileLock

ENGINES = ("docker", "podman")
ENGINE_VARIABLES = (
    *("PATH", "HOME", "XDG_RUNTIME_DIR"),
    *("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINER_HOST"),
)
"""What an engine gets of the runner's own environment; a container gets nothing of it."""

RUNNER_LABEL = "stigmer.runner"
"""Which runner has started the container: the name of the file that it holds a lock on."""

CLEANUP_LABEL = "stigmer.cleanup"
ALWAYS = "always"
UNENDED = ("status=created", "status=running", "status=paused")
ANSWER_S_MAX = 30.0
FOLDER = "containers"
LEFT_MAX = 100
"""How many runners that were killed are looked after at a time."""

HOLDS_MAX = 5
"""How many files are tried: another runner may take one for that of a killed one, before it is locked."""


class Engine:
    """A program that runs containers. A call that fails, or takes longer than ANSWER_S_MAX, has no answer."""

    def __init__(self, program: str, environ: Mapping[str, str]) -> None:
        """`environ` is all that its processes have."""
        self.program = program
        self._environ = environ

    async def ask(self, *words: str) -> str | None:
        """What it writes; None where it fails."""
        with suppress(OSError, TimeoutError):
            process = await asyncio.create_subprocess_exec(
                self.program,
                *words,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=DEVNULL,
                env=self._environ,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    content, _ = await process.communicate()
                return content.decode("utf-8", "replace") if process.returncode == 0 else None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return None

    async def list(self, *filters: str) -> Sequence[str] | None:
        """The ids of the containers that fit all `filters`, of which those of a state are alternatives."""
        words = [word for one in filters for word in ("--filter", one)]
        found = await self.ask("ps", "--all", "--quiet", *words)
        return None if found is None else found.split()

    async def remove(self, ids: Sequence[str]) -> bool:
        """Remove containers, running or not; False where that failed."""
        return not ids or await self.ask("rm", "--force", *ids) is not None


def find_engine(environ: Mapping[str, str], path: str) -> Engine | None:
    """The first engine in `path`, with what it needs of `environ`, the runner's own environment."""
    program = next((found for name in ENGINES if (found := shutil.which(name, path=path))), None)
    return Engine(program, select_variables(environ)) if program else None


def select_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """What an engine gets of `environ`."""
    return {name: environ[name] for name in ENGINE_VARIABLES if name in environ}


class ContainerOwner:
    """This runner, as the containers that it runs name it, and the runners of the same home that were killed."""

    def __init__(self, run: Path | None) -> None:
        """`run` is a folder of the home; None: nothing is noted, and nothing looked for."""
        self._folder = run / FOLDER if run else None
        self._lock: FileLock | None = None
        self._log = structlog.get_logger()

    @property
    def labels(self) -> Sequence[str]:
        """The labels of the containers of this runner, once it holds its lock."""
        return [f"{RUNNER_LABEL}={self._lock.path.name}"] if self._lock else []

    def hold(self) -> None:
        """Take the lock, once, before the first container runs; a home that is not writable has none."""
        if self._folder is None or self._lock is not None:
            return
        with suppress(OSError):
            self._folder.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
            for _ in range(HOLDS_MAX):
                lock = FileLock(self._folder / uuid4().hex)
                if lock.acquire():
                    self._lock = lock
                    return

    async def remove_left(self, environ: Mapping[str, str], path: str) -> None:
        """Remove the containers of runners that are gone; where the engine does not answer, somebody else will."""
        names = await asyncio.to_thread(self._list_runners)
        engine = find_engine(environ, path) if names else None
        if engine is None or self._folder is None:
            return
        for name in names:
            lock = FileLock(self._folder / name)
            with suppress(OSError):
                if not lock.acquire():  # it lives
                    continue
                try:
                    if await self._remove_of(engine, name):
                        await asyncio.to_thread(lock.path.unlink, missing_ok=True)
                finally:
                    lock.release()

    def _list_runners(self) -> Sequence[str]:
        with suppress(OSError):
            return sorted(path.name for path in self._folder.iterdir())[:LEFT_MAX] if self._folder else []
        return []

    async def _remove_of(self, engine: Engine, runner: str) -> bool:
        label = f"label={RUNNER_LABEL}={runner}"
        unended = await engine.list(label, *UNENDED)
        ended = await engine.list(label, f"label={CLEANUP_LABEL}={ALWAYS}")
        if unended is None or ended is None:
            return False
        if left := sorted({*unended, *ended}):
            self._log.warning("containers_left", runner=runner, containers=left)
        return await engine.remove(left)
