"""Checks of category Store about the servers that share one: all of them have to be on one Temporal."""

from stigmer_cli.doctor.check import Found, check, failed, passed, skipped
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.text import count
from stigmer_cli.errors import OtherTemporal
from stigmer_cli.stack.failure import refusal_in

ADOPT = "stigmer up --adopt-temporal"


@check("STG305", "one Temporal for all servers")
async def one_temporal(facts: Facts) -> Found:
    """Servers that share a store share its Temporal, too.

    On two of them, each would take the other's executions for lost, and perform them again. A server that finds another
    one alive on another Temporal does not start. `stigmer up --adopt-temporal` moves the store to the Temporal of that
    stack; servers that are still on the old one end then.
    """
    health = (await facts.server()).health
    if health is None:
        return await _judge_ended_server(facts)
    others = [f"{one.id} (pid {one.pid} on {one.host}) at {one.temporal}" for one in health.servers]
    evidence = {"servers": others, "temporal": health.temporal.address}
    if health.temporal.refusal == OtherTemporal.code:
        return failed(health.temporal.cause, ADOPT, **evidence)
    return passed(f"{count(len(others) or 1, 'server')} on one Temporal", **evidence)


async def _judge_ended_server(facts: Facts) -> Found:
    """Judge a server that does not run: it may have ended because another one uses another Temporal."""
    words = refusal_in(await facts.lines("server"), OtherTemporal.code)
    if words:
        return failed(f"the server ended: {words}", ADOPT, line=words)
    return skipped("no server says who shares the store")
