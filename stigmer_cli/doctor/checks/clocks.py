"""Checks of category Stack about clocks: whether those of this command, the server and Temporal agree, and stay so."""

import sys

from stigmer_cli.clock import SKEW_MAX
from stigmer_cli.doctor.check import Found, Severity, check, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.time_format import span

LATELY_S = 600.0
TEMPORAL_APART_S = 10.0
"""Temporal's time is derived from the polls of runners: on a busy machine it may be seconds late."""

HINT = "sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "sudo timedatectl set-ntp true"
"""Sets the clock by NTP, on the machine where it is typed."""


@check("STG122", "clocks agree", needs=("STG108",), severity=Severity.WARNING)
async def clocks(facts: Facts) -> Found:
    """Executions continue, however wrong a clock is.

    Waits, deadlines and leases are measured on clocks that nobody can set, and what one machine wrote down is not
    compared with the clock of another. But timestamps come from wall clocks, and certificates are judged by them. Run
    the command on the machine whose clock is wrong (on Linux `timedatectl` shows whether NTP keeps it right). Nothing
    has to be restarted.
    """
    seen = await facts.server()
    if seen.health is None or seen.ahead_s is None:
        return skipped("no server tells what time it is")
    clock = seen.health.clock
    server_ahead_s = seen.ahead_s + clock.own_ahead_s
    evidence: dict[str, object] = {
        "serverAheadS": round(server_ahead_s, 1),
        "databaseAheadS": round(seen.ahead_s, 1),
        "temporalAheadOfServerS": None if clock.temporal_ahead_s is None else round(clock.temporal_ahead_s, 1),
    }
    apart = [_apart("the server's clock", server_ahead_s, "that of this machine")]
    if clock.own_ahead_s:
        apart.append(_apart("the server's clock", clock.own_ahead_s, "the database's"))
    if clock.temporal_ahead_s is not None:
        apart.append(_apart("Temporal's clock", clock.temporal_ahead_s, "the server's", at_least_s=TEMPORAL_APART_S))
    runners = await facts.runners()
    apart += [_apart(f"the clock of the runner (pid {one.pid})", one.clock_ahead_s, "the server's") for one in runners]
    if words := next(filter(None, apart), ""):
        return warned(words, HINT, **evidence)
    if clock.jumped_ago_s is not None and clock.jumped_ago_s < LATELY_S:
        what = _jump(clock.set_s or 0.0, clock.slept_s or 0.0)
        return told(
            f"{what}, {span(int(clock.jumped_ago_s))} ago; whatever waited was looked at again at once", **evidence
        )
    return passed("the clocks of this command, the server and Temporal agree", **evidence)


def _apart(one: str, ahead_s: float, other: str, *, at_least_s: float = SKEW_MAX.total_seconds()) -> str:
    if abs(ahead_s) <= at_least_s:
        return ""
    return f"{one} is {span(round(abs(ahead_s)))} {'ahead of' if ahead_s > 0 else 'behind'} {other}"


def _jump(set_s: float, slept_s: float) -> str:
    if abs(set_s) > SKEW_MAX.total_seconds():
        return f"the server's clock was set {'forward' if set_s > 0 else 'back'} by {span(round(abs(set_s)))}"
    return f"the server's machine slept for {span(round(slept_s))}"
