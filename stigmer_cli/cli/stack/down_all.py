"""`stigmer down --all`: stops every stack of this user on this machine."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.stack.ls import look_at_machine
from stigmer_cli.clock import Clock
from stigmer_cli.errors import StigmerError
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down
from stigmer_cli.stack.machine_stacks import HomeState, StackSight

Results = Mapping[Path, Ended | StigmerError]


def stop_all_stacks(cli: Cli, *, is_agreed: bool) -> int:
    """Stop them at once and print a line for each; ask first, with their homes, unless `is_agreed`.

    Returns 0, or 1 where one could not be stopped or nobody agreed. Raises ConfigError where it cannot ask.
    """
    seen = look_at_machine(cli)
    for one in seen:
        if one.state is HomeState.REFUSED:
            cli.out.warning(f"{one.home} is left alone: {one.detail}")
    running = [one for one in seen if one.is_running]
    if running and not is_agreed:
        _ask_to_agree(cli, running)
    results = cli.run(stop_stacks([one.home for one in running], cli.clock))
    items = [_to_json(home, result) for home, result in results.items()]
    cli.out.result({"items": items}, lambda console: _print(console, results))
    return 1 if any(isinstance(result, StigmerError) for result in results.values()) else 0


def _ask_to_agree(cli: Cli, running: Sequence[StackSight]) -> None:
    """Return once a person agreed: some may belong to work that this person has forgotten, or that a script does."""
    for one in running:
        cli.out.note(f"{one.home}: {one.state}, open executions: {one.open_executions}")
    require_person(cli, "stopping them", hint="stigmer down --all --yes")
    count = len(running)
    question = f"Stop {'this stack' if count == 1 else f'these {count} stacks'}?"
    ask_to_agree(cli, question, otherwise="nothing was stopped")


async def stop_stacks(homes: Sequence[Path], clock: Clock) -> Results:
    """Stop the stacks in `homes` at once; one that cannot be stopped does not keep the others running."""
    async with asyncio.TaskGroup() as group:
        tasks = {home: group.create_task(_stop_one(home, clock), name=str(home)) for home in homes}
    return {home: task.result() for home, task in tasks.items()}


async def _stop_one(home: Path, clock: Clock) -> Ended | StigmerError:
    try:
        return await down(Home(path=home), clock=clock)
    except StigmerError as error:
        return error


def _to_json(home: Path, result: Ended | StigmerError) -> Mapping[str, object]:
    if isinstance(result, StigmerError):
        return {"home": str(home), "stopped": [], "error": result.message, "hint": result.hint}
    stopped = [{"name": part.name, "pid": part.pid, "how": part.how} for part in result.parts]
    return {"home": str(home), "stopped": stopped, "error": None, "hint": None}


def _print(console: Console, results: Results) -> None:
    if not results:
        console.print("nothing was running")
    for home, result in results.items():
        if isinstance(result, StigmerError):
            said = f"{result.message}; {result.hint}"
        else:
            parts = ", ".join(f"{part.name} {part.pid}" for part in result.parts)
            said = f"stopped ({parts})" if parts else "had stopped already"
        console.print(Text(strip_control_sequences(f"{home}: {said}")), soft_wrap=True)
