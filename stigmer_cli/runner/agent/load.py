"""Loads the loop when the first agent with tools needs it: pydantic-ai takes a second, on a busy machine ten."""

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING

from stigmer_cli.lean_imports import late_imports
from stigmer_cli.running_version import InstallationChanged
from stigmer_cli.tool_server.transport import load_library

if TYPE_CHECKING:
    from stigmer_cli.runner.agent import loop

LOOP = "stigmer_cli.runner.agent.loop"


async def load_loop() -> "type[loop.AgentLoop]":
    """The loop, loaded off the event loop. Raises InstallationChanged where it cannot be imported."""
    try:
        return await asyncio.to_thread(_import)
    except ImportError as error:
        raise InstallationChanged(error) from error


def _import() -> "type[loop.AgentLoop]":
    if LOOP not in sys.modules:
        with late_imports():
            load_library()
            importlib.import_module(LOOP)
    from stigmer_cli.runner.agent.loop import AgentLoop  # noqa: PLC0415 - loaded above

    return AgentLoop
