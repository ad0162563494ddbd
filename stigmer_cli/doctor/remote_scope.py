"""Runs a check where the server may be on another machine: skips what is about this one, gives no command for it."""

import re
from dataclasses import replace

from stigmer_cli.doctor.check import Check, Found, Scope, skipped
from stigmer_cli.doctor.facts.facts import Facts

LOCAL_COMMAND = re.compile(r"\bstigmer (up|down|restart|logs|serve)\b|\bkill -|\btemporal (operator|task-queue)\b")
THERE = "on the machine of that server: stigmer doctor"


async def judge(check: Check, facts: Facts) -> Found:
    """What `check` finds, as far as its scope allows it to judge."""
    url = facts.elsewhere
    if url is None:
        return await check(facts)
    if check.scope is Scope.MACHINE:
        return skipped(f"not on this machine: the server is at {url}")
    if check.scope is Scope.TEMPORAL and not facts.asks_temporal:
        return skipped(f"not asked from this machine: STIGMER_TEMPORAL_ADDRESS is not set; {url} has its own view")
    found = await check(facts)
    return replace(found, hint=THERE) if LOCAL_COMMAND.search(found.hint) else found
