"""Run the printed hints: an execution that is open at the end of a chaos run has a class, and its hint ends it.

One call of a command names all executions with that hint, as `list --stuck` advises; a few of each class are cancelled
instead, one by one, and so is poison, which would kill the runner of others again. Where a step may have taken effect,
each alternative that is printed is taken in turns.
"""

import asyncio
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import GRACE_S
from stigmer_cli.errors import StigmerError
from tests.chaos import ledger
from tests.chaos.decisions import wrong_decisions
from tests.chaos.harness import Harness
from tests.chaos.invariants import is_paused, is_undecided, list_rows
from tests.chaos.journals import Journal, read_effects, read_journal
from tests.chaos.workflow_journals import find_wrong
from tests.chaos.workload import Expect, WorkloadRequest
from tests.support.machine_load import slack
from tests.support.polling import eventually
from tests.support.running_server import TOKEN

OPEN = (Phase.PENDING, Phase.IN_PROGRESS)
CANCELLED_EVERY, CANCELLED_MAX = 4, 5
DECIDED_MAX = 12
"""How many are resumed one by one."""

CANCEL, RESUME, SKIP = ("cancel",), "resume", "--skip"
VERBS = ("reconcile", RESUME, *CANCEL)
COMMAND = re.compile(r"stigmer executions (\w+) [aw]ex-\w+((?: --[\w-]+(?: /[\w/]+)?)*)")
WAIT = "stigmer doctor --wait"
"""The hint for what goes on by itself, as what was resumed may have to on a busy machine."""

NAMED_MAX = 200
ROUNDS_MAX = 3
"""A runner without processor time misses its heartbeats: the step that a person had repeated is in the air again."""
COMMAND_MAX_S = 120.0
ENDS_MAX_S = 120.0
BUSY_MAX_S = 60.0
EXIT_BUSY, BUSY = 4, "the server takes no more for a moment"
POLL_S = 0.5
TEXT_MAX = 400


@dataclass
class WaysOut:
    """The number of executions by class and command, and what went wrong, by execution."""

    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    wrong: dict[str, str] = field(default_factory=dict)


async def take_ways_out(harness: Harness, log: Sequence[WorkloadRequest]) -> WaysOut:
    """Run the hint of every open execution, and check how it ends; on a busy machine some need it once more."""
    found = WaysOut()
    requests = {name: wanted for wanted in log for name in wanted.ids}
    await asyncio.sleep(GRACE_S)  # what is younger may still be on its way
    rows = await list_rows(harness.client, OPEN)
    first = items = await _stuck(harness)
    waiting = {name: row for name, row in rows.items() if row.status.waiting is not None and name not in items}
    found.wrong |= {
        name: f"open ({rows[name].status.phase}), and called nothing"
        for name in rows.keys() - items.keys() - waiting.keys()
    }
    undecided = {name for name, row in waiting.items() if is_undecided(row)}  # the decider has them go on
    to_resume = {name for name, row in waiting.items() if is_paused(row)} - _poison(waiting, requests)
    found.wrong |= await _resume_paused(harness, sorted(to_resume), requests, found.taken)
    found.wrong |= await _cancel_waiting(harness, sorted(waiting.keys() - to_resume - undecided), found.taken)
    cancelled: set[str] = set()
    repeated: dict[str, set[str]] = {name: set() for name in items}
    for _ in range(ROUNDS_MAX):
        to_cancel = _to_cancel(items, requests)
        cancelled |= to_cancel
        chosen = _choose_commands(items, to_cancel)
        for name, command in chosen.items():
            journal = await _read_journal(harness, name, requests)
            if journal and command != CANCEL and SKIP not in command:
                repeated[name] |= {step.key for step in journal.in_the_air}
        found.wrong |= await _run_commands(harness, items, chosen, found.taken)
        await _until_ended_or_stuck(harness, list(items))
        items = {name: item for name, item in (await _stuck(harness)).items() if name in first}
        if not items:
            break
    found.wrong |= await _ended_wrong(harness, first, cancelled, requests)
    found.wrong |= await _journals_wrong(harness, requests, repeated)
    return found


async def _resume_paused(
    harness: Harness, names: Sequence[str], requests: Mapping[str, WorkloadRequest], taken: dict[str, int]
) -> Mapping[str, str]:
    """Resume those that are paused, whose runners were killed; returns what is wrong, by execution."""
    taken |= {"paused: resume": len(names)} if names else {}
    wrong = dict(await _run_command(harness, (RESUME,), names))
    await _until_ended_or_stuck(harness, names)
    rows = await list_rows(harness.client)
    ended = {name: _not_as_asked(rows[name], requests.get(name), is_cancelled=False) for name in names}
    return wrong | {name: words for name, words in ended.items() if words}


async def _cancel_waiting(harness: Harness, names: Sequence[str], taken: dict[str, int]) -> Mapping[str, str]:
    """Cancel poison, and what still waits; returns what is wrong, by execution."""
    taken |= {"waiting: cancel": len(names)} if names else {}
    wrong = dict(await _run_command(harness, CANCEL, names))
    phases = {name: (await harness.client.execution(name)).status.phase for name in names}
    return wrong | {name: f"cancelled, and {phase}" for name, phase in phases.items() if phase is not Phase.CANCELLED}


async def _run_commands(
    harness: Harness,
    items: Mapping[str, StuckBody],
    chosen: Mapping[str, tuple[str, ...]],
    taken: dict[str, int],
) -> Mapping[str, str]:
    """Run the command chosen for each of `items`, and count it in `taken`; returns what failed, by execution."""
    by_command: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, item in items.items():
        command = chosen[name]
        if command or WAIT not in item.hint:
            by_command[command].append(name)
        typed = " ".join(word for word in command if not word.startswith("/"))
        taken[f"{item.kind}: {typed or 'nothing to type'}"] += 1
    wrong: dict[str, str] = {}
    for command, names in by_command.items():
        if command[:1] == (RESUME,):
            wrong |= {name: words for name in names if (words := await _resume(harness, name, command[1:]))}
        else:
            wrong |= await _run_command(harness, command, names)
    return wrong


def printed_commands(item: StuckBody) -> Sequence[tuple[str, ...]]:
    """`reconcile`, `resume` or `cancel`, each with its flags, without the id: the alternatives that the hint names."""
    return [(verb, *flags.split()) for verb, flags in COMMAND.findall(item.hint) if verb in VERBS]


def _to_cancel(items: Mapping[str, StuckBody], requests: Mapping[str, WorkloadRequest]) -> set[str]:
    """A few of each class, and those that kill their runner."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for name, item in items.items():
        by_class[item.kind].append(name)
    few = {name for names in by_class.values() for name in names[1::CANCELLED_EVERY][:CANCELLED_MAX]}
    return few | _poison(items, requests)


def _poison(names: Iterable[str], requests: Mapping[str, WorkloadRequest]) -> set[str]:
    """Those that would kill their runner again."""
    return {name for name in names if name in requests and requests[name].expect is Expect.FAILED}


def _choose_commands(items: Mapping[str, StuckBody], cancelled: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """One command for each: the last that its hint names, which takes many ids, and each of the others a few times.

    The empty tuple: its hint names none.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    turns: Counter[str] = Counter()
    for name, item in items.items():
        commands = printed_commands(item) or [()]
        turn, turns[item.kind] = turns[item.kind], turns[item.kind] + 1
        chosen[name] = CANCEL if name in cancelled else commands[turn % len(commands) if turn < DECIDED_MAX else -1]
    return chosen


async def _resume(harness: Harness, name: str, flags: Sequence[str]) -> str:
    """Resume it without a decision, which must be refused, and with this one; returns what is wrong.

    Where the hint names no decision (one that is paused), it needs none.
    """
    if not flags:
        return dict(await _run_command(harness, (RESUME,), [name])).get(name, "")
    code, said = await _stigmer(harness, "executions", "resume", name)
    if code != 1 or " ".join(flags) not in said:
        return f"`resume` ended with {code}, and does not ask for a decision: {said[-TEXT_MAX:]}"
    code, said = await _stigmer(harness, "executions", "resume", name, *flags)
    return f"`resume {' '.join(flags)}` ended with {code}: {said[-TEXT_MAX:]}" if code else ""


async def _read_journal(harness: Harness, name: str, requests: Mapping[str, WorkloadRequest]) -> Journal | None:
    """The journal of an execution of a workflow, or of an agent that uses tools."""
    agent = requests[name].tool_agent if name in requests else None
    return await read_journal(harness.client, name, agent, read_effects(harness.ledgers.tools)) if agent else None


async def _journals_wrong(
    harness: Harness, requests: Mapping[str, WorkloadRequest], repeated: Mapping[str, Collection[str]]
) -> Mapping[str, str]:
    """What is wrong with journals; the steps `repeated` of each may have taken effect once more."""
    wrong: dict[str, str] = {}
    for name, keys in repeated.items():
        journal = await _read_journal(harness, name, requests)
        if journal is None:
            continue
        phase = (await harness.client.execution(name)).status.phase
        words = find_wrong(journal, is_completed=phase is Phase.COMPLETED, repeated=keys)
        if words := words or wrong_decisions(journal, await harness.client.events(name), harness.decider):
            wrong[name] = words
    return wrong


async def _stuck(harness: Harness) -> Mapping[str, StuckBody]:
    found = (await harness.client.list_executions(Query(is_stuck=True), limit=None)).items
    return {item.metadata.id: item.stuck for item in found if item.stuck}


async def _run_command(harness: Harness, command: Sequence[str], names: Sequence[str]) -> Mapping[str, str]:
    """Run the command for `names`; returns what failed, by execution."""
    if not command:
        return dict.fromkeys(names, "its hint names no command for it")
    verb, *flags = command
    size, more = (1, []) if verb == "cancel" else (NAMED_MAX, ["--yes", "--wait"])
    wrong: dict[str, str] = {}
    for first in range(0, len(names), size):
        named = names[first:][:size]
        code, said = await _stigmer(harness, "executions", verb, *named, *flags, *more)
        if code:
            wrong |= dict.fromkeys(named, f"`{' '.join(command)}` ended with {code}: {said[-TEXT_MAX:]}")
    return wrong


async def _stigmer(harness: Harness, *arguments: str) -> tuple[int, str]:
    """Its exit code and all that it says; typed again as long as it says that the server is busy."""
    deadline = asyncio.get_running_loop().time() + BUSY_MAX_S * slack()
    while True:
        code, said = await _run_stigmer(harness, *arguments)
        if code != EXIT_BUSY or BUSY not in said or asyncio.get_running_loop().time() > deadline:
            return code, said


async def _run_stigmer(harness: Harness, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stigmer_cli.cli",
        *arguments,
        env={
            **os.environ,
            "STIGMER_HOME": str(harness.folder),
            "STIGMER_SERVER_URL": harness.server.url,
            "STIGMER_TOKEN": TOKEN,
            "COLUMNS": "200",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_MAX_S * slack()):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


async def _until_ended_or_stuck(harness: Harness, names: Sequence[str]) -> None:
    async def have_ended() -> bool:
        await asyncio.sleep(POLL_S)
        left = (await list_rows(harness.client, OPEN)).keys() & set(names)
        return not left or left <= (await _stuck(harness)).keys()

    await asyncio.sleep(POLL_S)
    try:
        await eventually(have_ended, within_s=ENDS_MAX_S * slack(), despite=StigmerError)
    except AssertionError:
        return  # `_ended_wrong` names each that has not ended


async def _ended_wrong(
    harness: Harness, items: Mapping[str, StuckBody], cancelled: set[str], requests: Mapping[str, WorkloadRequest]
) -> Mapping[str, str]:
    rows, lines = await list_rows(harness.client), ledger.read(harness.ledger)
    wrong: dict[str, str] = {}
    for name, item in items.items():
        row = rows[name]
        claims = [
            str(event.data.get("run")) for event in await harness.client.events(name) if event.type is EventType.CLAIMED
        ]
        words = _not_as_asked(row, requests.get(name), is_cancelled=name in cancelled) or ledger.wrong_effects(
            lines.get(name, ()), claims, None, may_repeat=True
        )
        if words:
            wrong[name] = f"{item.kind}, `{item.hint}`: {words}"
    return wrong


def _not_as_asked(row: ExecutionResource, wanted: WorkloadRequest | None, *, is_cancelled: bool) -> str:
    """What is wrong with how it ended; empty if nothing is."""
    status = row.status
    if is_cancelled and status.phase is Phase.CANCELLED:
        return ""
    if status.phase is Phase.COMPLETED and wanted is not None and status.output == wanted.output:
        return ""
    return f"it is {status.phase}: {status.error or status.attention or status.dispatch}"
