"""Performs attempts at workflows; the interpreter is loaded, and what attempts share is made, when the first one comes.

An expression is evaluated in a process of its own, and calls keep their connections: there is one of each a runner.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from stigmer_cli.api.reports import Work
from stigmer_cli.lean_imports import late_imports
from stigmer_cli.runner.attempt_end import End
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.waits import Wait
from stigmer_cli.running_version import InstallationChanged
from stigmer_cli.tool_server.connection import ServerSettings

if TYPE_CHECKING:
    from stigmer_cli.runner import workflow_attempt

INTERPRETER = "stigmer_cli.runner.workflow_attempt"


class Workflows:
    """The workflows of one runner. Close them when it ends."""

    def __init__(self, reporter: Reporter, clock_and_rng: ClockAndRng, settings: ServerSettings | None = None) -> None:
        """`settings`: how servers of tools are started, and others are asked."""
        self._reporter = reporter
        self._clock_and_rng = clock_and_rng
        self._settings = settings or ServerSettings()
        self._loading = asyncio.Lock()
        self.shared: workflow_attempt.Shared | None = None

    async def perform(
        self, attempt: Attempt, work: Work, *, is_leaving: Callable[[], bool] = lambda: False
    ) -> End | Wait | None:
        """How `attempt` ended; None where the server wants no more of it.

        Raises StepParked and what else ends an attempt without a report, and InstallationChanged where the interpreter
        cannot be loaded.
        """
        shared = await self._load()
        return await shared.perform(
            self._reporter, self._clock_and_rng, attempt=attempt, work=work, is_leaving=is_leaving
        )

    async def close(self) -> None:
        """End the process of expressions and the connections of calls; what is used again is made again."""
        shared, self.shared = self.shared, None
        if shared is not None:
            await shared.close()

    async def _load(self) -> "workflow_attempt.Shared":
        async with self._loading:
            if self.shared is not None:
                return self.shared
            module = await _load_interpreter()
            shared: workflow_attempt.Shared = await asyncio.to_thread(
                module.make_shared, self._settings, self._clock_and_rng.clock
            )
            self.shared = shared
            return shared


async def _load_interpreter() -> ModuleType:
    """The module, loaded off the event loop. Raises InstallationChanged where it cannot be imported."""
    if INTERPRETER in sys.modules:
        return sys.modules[INTERPRETER]
    try:
        return await asyncio.to_thread(_import)
    except ImportError as error:
        raise InstallationChanged(error) from error


def _import() -> ModuleType:
    with late_imports():
        return importlib.import_module(INTERPRETER)
