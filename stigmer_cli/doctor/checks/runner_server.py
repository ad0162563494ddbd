"""Checks of category Stack about the runners of this home: whether each reaches a server that it may work for."""

from collections.abc import Sequence

from stigmer_cli.clock import is_older
from stigmer_cli.doctor.check import BUSY_S, Found, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.pollers import live_pollers
from stigmer_cli.doctor.text import count
from stigmer_cli.runner_record import RunnerRecord
from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.stack.readiness import is_worker_of, parse_time

SETTLING_S = 5.0
"""How long a runner that has just started may look for its server."""

UNREACHED = ("asking", "silent")
REFUSED = ("refused",)
MISPAIRED = ("foreign", "mismatched")


@check("STG113", "runner reaches its server", needs=("STG107",), timeout_s=BUSY_S, settles=True)
async def reaches_server(facts: Facts) -> Found:
    """A runner takes up work only while its server answers.

    Work that it could not report would only be kept from other runners. Two and a half seconds after the last
    answer the runner stops, hands back what it holds, and says so in `stigmer logs runner`. It continues by itself as
    soon as the server answers.
    """
    return await _no_runner_in(UNREACHED, facts, well="each reaches its server", hint="stigmer restart server")


@check("STG114", "runner and server trust each other", needs=("STG107",), timeout_s=BUSY_S)
async def trusts_server(facts: Facts) -> Found:
    """Runner and server prove to each other that they hold the same token.

    The runner of a stack reads it from the home; `stigmer work` on another machine gets it in STIGMER_TOKEN. With
    another token it takes nothing up.
    """
    return await _no_runner_in(REFUSED, facts, well="each has the token of its server", hint="stigmer restart runner")


@check("STG115", "runner belongs to its server", needs=("STG107",), timeout_s=BUSY_S, settles=True)
async def belongs_to_server(facts: Facts) -> Found:
    """A runner and its server must belong to one stack.

    What a runner asks must be a Stigmer server that knows its store, and both must use the same Temporal and namespace.
    Otherwise the runner would wait where nothing is submitted, or take up what its server does not know.
    """
    return await _no_runner_in(
        MISPAIRED, facts, well="each is of one stack with its server", hint="stigmer config list"
    )


async def _no_runner_in(states: Sequence[str], facts: Facts, *, well: str, hint: str) -> Found:
    """Fails where the link of a runner is in one of `states`; else passes with `well`.

    `hint` is for the stack's own runner; for one that was started separately the hint is `kill`.
    """
    records = await facts.runners()
    if not records:
        return skipped("no runner of this home says how it stands")
    evidence = {"runners": [_json(one) for one in records]}
    hit = next((one for one in records if one.state in states), None)
    if hit is None:
        return passed(f"{count(len(records), 'runner')} of this home: {well}", **evidence)
    message = f"the runner (pid {hit.pid}) takes up no work: {hit.cause or 'no server has answered yet'}"
    if _is_settling(facts, hit):
        return warned(f"{message}; it has just started", "stigmer doctor --wait=10", **evidence)
    fix = hint if await _is_ours(facts, hit) else f"kill {hit.pid}"
    if await _others_work(facts, records):
        return warned(f"{message}; others do", fix, **evidence)
    return failed(message, fix, **evidence)


async def _is_ours(facts: Facts, record: RunnerRecord) -> bool:
    """Whether the supervisor of this home started it."""
    seen = (await facts.supervisor()).record
    child = seen.child(RUNNER) if seen else None
    return child is not None and child.id == record.id


def _is_settling(facts: Facts, record: RunnerRecord) -> bool:
    return record.state == "asking" and not is_older(parse_time(record.since), facts.clock.now(), than_s=SETTLING_S)


async def _others_work(facts: Facts, records: Sequence[RunnerRecord]) -> bool:
    """Whether runners poll that are none of those without a server."""
    idle = [one.id for one in records if not one.is_served]
    live = await live_pollers(facts)
    return any(not any(is_worker_of(process, poller.identity) for process in idle) for poller in live)


def _json(record: RunnerRecord) -> dict[str, object]:
    return {
        "pid": record.pid,
        "state": record.state,
        "cause": record.cause,
        "server": record.server,
        "store": record.store,
        "since": record.since,
    }
