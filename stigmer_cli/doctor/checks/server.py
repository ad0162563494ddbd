"""Checks of category Stack about its server: whether it lets us in, and is of one version with the rest."""

import re
from typing import TYPE_CHECKING

from stigmer_cli.doctor.check import (
    BUSY_S,
    SERVER_BUSY,
    Found,
    Severity,
    check,
    failed,
    passed,
    skipped,
    unjudged,
    warned,
)
from stigmer_cli.doctor.checks.started_settings import token_hint
from stigmer_cli.doctor.facts.facts import Facts, ServerSeen
from stigmer_cli.doctor.facts.pollers import live_pollers
from stigmer_cli.doctor.text import count
from stigmer_cli.domain.stuck import WAIT
from stigmer_cli.errors import ServerBusy
from stigmer_cli.options import BY_NAME
from stigmer_cli.stack.parts import SERVER
from stigmer_cli.stack.precedence import TOKEN, layer_of, take_back
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.time_format import span

TOKEN_REFUSED = "refuses the token"  # noqa: S105 - words
GIVE_TOKEN = f"export {BY_NAME[TOKEN].variable}=..., the one that the server was given"

if TYPE_CHECKING:
    from stigmer_cli.api.health import LoadHealth

RUNNER_VERSION = re.compile(r"^stigmer-runner/[^/]+/\d+[^/]*/(.+)$")
VERSIONS_S = 2.0
"""Only Temporal knows who polls, and connecting to it takes time."""


@check("STG108", "server API", needs=("STG106", "STG120", "STG125"), timeout_s=BUSY_S, settles=True)
async def answers(facts: Facts) -> Found:
    """Every command talks to the server over HTTP with the token of the home.

    This asks for its health the same way: it must answer, accept the token, be a Stigmer server, and be the one that
    this stack started.
    """
    seen = await facts.server()
    if seen.health is None:
        return _judge_unusable(facts, seen)
    holder = await _server_id(facts)
    evidence = {"url": seen.url, "pid": seen.health.pid, "reasons": seen.health.reasons}
    if holder is not None and holder.pid != seen.health.pid:
        return failed(
            f"{seen.url} is answered by another server (pid {seen.health.pid}) than the stack's (pid {holder.pid})",
            "stigmer down && stigmer up --auto-ports",
            **evidence,
        )
    return passed(f"{seen.url} answers (pid {seen.health.pid})", **evidence)


@check("STG128", "load", needs=("STG108",), severity=Severity.WARNING, timeout_s=BUSY_S)
async def load(facts: Facts) -> Found:
    """The server refuses what people send (503, `server-busy`) when it would wait too long for the store or a runner.

    What runs report goes first, so that what was accepted ends. Nothing of what was refused is written, and commands
    try it again by themselves. It ends when less is sent; a faster disk, or fewer executions at a time, helps.
    """
    seen = await facts.server()
    if seen.health is None:
        return skipped("the server does not answer")
    found = seen.health.load
    evidence = {
        "waiting": found.waiting,
        "waitS": found.wait_s,
        "claimedAfterS": found.claimed_after_s,
        "refused": found.refused,
    }
    if found.busy:
        words = f"{_describe_waits(found)}{found.refused:,} were refused since it started"
        return warned(f"the server is busy: {words}", WAIT, **evidence)
    return passed("what is sent is written at once", **evidence)


def _describe_waits(load: "LoadHealth") -> str:
    writes = f"{count(load.waiting, 'write')} wait for the store, {span(load.wait_s)} each; "
    claims = f"executions wait {span(load.claimed_after_s or 0.0)} for a runner; "
    return (writes if load.waiting else "") + (claims if load.claimed_after_s is not None else "")


@check("STG109", "versions", needs=("STG108",), severity=Severity.WARNING, timeout_s=VERSIONS_S)
async def versions(facts: Facts) -> Found:
    """After an upgrade the processes that run are still the old ones until they are restarted."""
    seen = await facts.server()
    if seen.health is None:
        return skipped("the server does not answer")
    runners = {found[1] for one in await live_pollers(facts) if (found := RUNNER_VERSION.search(one.identity))}
    evidence = {"cli": facts.version, "server": seen.health.version, "runners": sorted(runners)}
    others = [f"the server is {seen.health.version}"] if seen.health.version != facts.version else []
    others += [f"a runner is {version}" for version in sorted(runners - {facts.version})]
    if others:
        return warned(f"this command is {facts.version}, {', '.join(others)}", "stigmer restart", **evidence)
    return passed(f"all are {facts.version}", **evidence)


def _judge_unusable(facts: Facts, seen: ServerSeen) -> Found:
    """A server that cannot be used, with the layer that names it where this home has another one."""
    words, evidence = f"cannot be used: {seen.why}", {"url": seen.url, "cause": seen.why}
    if ServerBusy.words in seen.why:
        return unjudged(SERVER_BUSY, f"the server at {seen.url} is busy: {seen.why}", WAIT)
    if not facts.shell.server_url:
        return failed(f"the server at {seen.url} {words}", token_hint(facts, seen.why), **evidence)
    layer = layer_of(facts.shell, "server_url")
    if facts.endpoints is None or not layer:
        hint = GIVE_TOKEN if TOKEN_REFUSED in seen.why else "stigmer config get server_url"
        return failed(f"the server at {seen.url} {words}", hint, **evidence)
    own = f"{layer} names it, and the stack of this home is at {facts.endpoints.server_url}"
    return failed(f"the server at {seen.url} {words}; {own}", take_back(facts.shell, "server_url"), **evidence)


async def _server_id(facts: Facts) -> ProcessId | None:
    record = (await facts.supervisor()).record
    child = record.child(SERVER) if record else None
    is_elsewhere = facts.endpoints is None or facts.shell.server_url is not None
    return None if child is None or is_elsewhere else child.id
