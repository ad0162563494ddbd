"""The installed command with a stack of its own, as a person has it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("stigmer")
COMMAND_MAX_S = 120.0
KEPT = ("PATH", "HOME", "USER", "LANG", "TMPDIR")
"""Of the environment of whoever runs the kit: no setting of another stack."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Stigmer:
    """Runs commands in an environment."""

    environment: Mapping[str, str]

    async def run(self, *arguments: str, given: str = "") -> Said:
        """The end of `stigmer` with `arguments`, which has `given` as its standard input."""
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(COMMAND_MAX_S):
                out, err = await process.communicate(given.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Said(code=process.returncode or 0, out=out.decode(), err=err.decode())

    async def read(self, *arguments: str, given: str = "") -> Any:
        """The JSON that the command prints. Raises RuntimeError where it prints none."""
        said = await self.run(*arguments, "-o", "json", given=given)
        try:
            return json.loads(said.out)
        except ValueError:
            raise RuntimeError(f"stigmer {' '.join(arguments)} ended with {said.code}: {said.err}") from None


@asynccontextmanager
async def started_stack(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Stigmer]:
    """The command, with a stack in `folder` that is stopped in the end. Raises RuntimeError if it does not start."""
    own = {name: os.environ[name] for name in KEPT if name in os.environ}
    stigmer = Stigmer({**own, **environment, "STIGMER_HOME": str(folder / "home")})
    try:
        started = await stigmer.run("up", "--auto-ports")
        if started.code:
            raise RuntimeError(f"stigmer up ended with {started.code}: {started.out}{started.err}")
        yield stigmer
    finally:
        await stigmer.run("down")
