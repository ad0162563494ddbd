"""Loads the loop when the first agent with tools needs it: pydantic-ai takes a second, on a busy machine ten."""

import asyncio
import gc
import importlib
import sys
from typing import TYPE_CHECKING

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
        was_enabled = gc.isenabled()
        gc.disable()  # a look through what is being loaded holds the interpreter's lock for 0.1 s each time
        try:
            load_library()
            importlib.import_module(LOOP)
        finally:
            gc.freeze()
            if was_enabled:
                gc.enable()
    from stigmer_cli.runner.agent.loop import AgentLoop  # noqa: PLC0415 - loaded above

    return AgentLoop
