"""What a newcomer types next once the stack is ready: lines that can be pasted, and that work as the stack stands."""

import asyncio
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format
from stigmer_cli.credential import read_token
from stigmer_cli.errors import StigmerError
from stigmer_cli.settings import HomeSource, Settings
from stigmer_cli.stack.first_agent import find_first_agent
from stigmer_cli.stack.server_probe import OK, get_json
from stigmer_cli.stack.up import Ready

ANSWER_MAX_S = 1.0
EXAMPLE = (
    "echo '{apiVersion: agentic.stigmer.ai/v1, kind: Agent, metadata: {name: greeter},"
    " spec: {description: says hello, model: echo}}' | stigmer apply -f -"
)


def find_next_steps(cli: Cli, ready: Ready, settings: Settings) -> Sequence[str]:
    """The commands to a first answer: run an agent that is there, or apply one before."""
    if cli.out.format is not Format.TABLE:
        return ()
    name = cli.run(_find_agent(ready, settings))
    if name is not None:
        return (_run(name),)
    if settings.home.source is not HomeSource.PROJECT:
        return (EXAMPLE, _run("greeter"))
    directory = settings.home.path.parent
    here = os.path.relpath(directory, cli.working_directory or directory)
    agent = find_first_agent(directory)
    if agent is None:
        where = "" if here == os.curdir else f" --directory {shlex.quote(here)}"
        return (f"stigmer init{where}",)
    path = agent.path if here == os.curdir else os.path.join(here, agent.path)  # noqa: PTH118 - keeps a last slash
    return (f"stigmer apply -f {shlex.quote(path)}", _run(agent.name))


async def _find_agent(ready: Ready, settings: Settings) -> str | None:
    """The name of the first agent that the server has; None where it has none, or does not say."""
    with suppress(StigmerError, OSError, ValueError, KeyError, TypeError, IndexError):
        token = settings.token or read_token(settings.home)
        async with asyncio.timeout(ANSWER_MAX_S):
            code, body = await get_json(f"{ready.endpoints.server_url}/v1/agents", token)
        items = body["items"]
        if code == OK and isinstance(items, list):
            return str(items[0]["metadata"]["slug"])
    return None


def _run(name: str) -> str:
    return f"stigmer run {name} 'hello'"
