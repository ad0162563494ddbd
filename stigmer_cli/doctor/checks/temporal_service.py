"""Checks of category Temporal about its service: what it remembers, whom it lets in, whether it takes submits."""

import shlex

from stigmer_cli.clock import is_older, iso
from stigmer_cli.doctor.check import Found, Scope, Severity, check, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.server_clock import servers_now
from stigmer_cli.doctor.text import IDS_SHOWN, clock_time, count, operator
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import WAIT, StuckClass, way_out_of_all
from stigmer_cli.temporal.dev_server import RETENTION_DAYS
from stigmer_cli.time_format import span

MEMORY_S = 2.0
"""Only Temporal knows what was lost, and connecting to it takes time."""

FORBIDDEN = 403
SUBMITS_FAIL = "submits have been failing"
DAY_S = 86_400
LOST_RECENTLY_S = 3600.0


@check("STG209", "remembers restarts", needs=("STG105",), severity=Severity.WARNING, scope=Scope.MACHINE)
async def remembers(facts: Facts) -> Found:
    """With a database file Temporal's workflows outlive its restarts.

    With `--ephemeral` they do not: executions that no run had claimed are then submitted again, and those in progress
    wait for your decision.
    """
    if not facts.owns_temporal:
        return skipped(f"how the Temporal at {facts.address} keeps its data is up to its operator")
    found, file = facts.endpoints, facts.settings.home.temporal_file
    if found is None:
        return skipped("the stack does not run")
    if found.ephemeral:
        return warned(
            "Temporal keeps workflows in memory only: a restart of it loses those that run",
            "stigmer down && stigmer up",
            ephemeral=True,
        )
    if not file.exists():
        message = f"Temporal's database file {file} was removed while it runs: a restart loses all workflows"
        return failed(message, "stigmer down && stigmer up", file=str(file))
    return passed(f"it keeps workflows in {file.name}", file=str(file), bytes=file.stat().st_size)


@check("STG210", "kept its memory", needs=("STG108",), severity=Severity.WARNING, timeout_s=MEMORY_S)
async def memory(facts: Facts) -> Found:
    """The server remembers which Temporal answered.

    When another one answers behind the same address, such as an emptied one, it knows none of the earlier workflows.
    Executions that no run had claimed are submitted again by themselves, and those in progress are resumed. Those with
    a step that may have had an effect, which must not happen twice, are marked for attention.
    """
    health = (await facts.server()).health
    at = health.temporal.memory_lost_at if health else None
    if at is None:
        return passed("it has kept its memory")
    message = f"Temporal lost its memory at {clock_time(at)}: what was submitted before was unknown to it"
    evidence: dict[str, object] = {"memoryLostAt": iso(at)}
    hurt = await _find_lost(facts)
    if hurt:
        evidence |= {"lost": hurt}
        words = f"{message}; {count(len(hurt), 'execution')} in progress then, which you must decide about: {hurt[0]}"
        return failed(words, way_out_of_all(StuckClass.LOST, hurt, Phase.IN_PROGRESS).commands[0], **evidence)
    message += await _describe_unclaimed(facts)
    if is_older(at, await servers_now(facts), than_s=LOST_RECENTLY_S):
        return told(message, **evidence)
    return warned(message, "stigmer doctor --only executions -v", **evidence)


@check("STG211", "HTTP API closed", needs=("STG105",), severity=Severity.WARNING, scope=Scope.MACHINE)
async def http_api(facts: Facts) -> Found:
    """Temporal's dev server opens an HTTP API, which would let any web page start workflows.

    Stigmer starts it so that it answers 403, and on Linux only to the stack itself (see STG123); this asks every port
    of its process.
    """
    if not facts.owns_temporal:
        return skipped(f"somebody else runs the Temporal at {facts.address}")
    found = await facts.http_endpoints()
    evidence = {"doors": [{"port": endpoint.port, "status": endpoint.status} for endpoint in found]}
    if any(endpoint.status < FORBIDDEN for endpoint in found):
        port = next(endpoint.port for endpoint in found if endpoint.status < FORBIDDEN)
        message = f"Temporal's HTTP API is open on port {port}: any web page could start workflows on this machine"
        return failed(message, "stigmer restart", **evidence)
    return passed("its HTTP API is closed", **evidence)


@check("STG212", "takes submits", needs=("STG108", "STG203"), settles=True)
async def takes_submits(facts: Facts) -> Found:
    """A Temporal that answers may still refuse to start workflows.

    It has no room (RESOURCE_EXHAUSTED), or its history is not up yet. The server then submits fewer at once and tries
    again for ever; nothing is lost, and what waits is in `stigmer executions list --stuck`.
    """
    health = (await facts.server()).health
    strain = next((reason for reason in health.reasons if SUBMITS_FAIL in reason), "") if health else ""
    if not strain:
        return passed("it takes what the server submits")
    return failed(f"{strain}; they are tried again, more slowly, and wait in the queue meanwhile", WAIT, reason=strain)


@check("STG213", "retention", needs=("STG203",), severity=Severity.WARNING, scope=Scope.TEMPORAL)
async def retention(facts: Facts) -> Found:
    """Temporal deletes closed workflows after the retention of their namespace.

    A deleted workflow is unknown, and nobody can tell any more whether it had been done. The server raises the
    retention of the stack's own Temporal to thirty days when it connects; that of another Temporal is up to its
    operator.
    """
    kept_s = (await facts.temporal()).retention_s
    if kept_s is None:
        return skipped("Temporal does not say how long it keeps closed workflows")
    evidence = {"retentionS": kept_s}
    wanted_s = (RETENTION_DAYS if facts.owns_temporal else 1) * DAY_S
    if kept_s >= wanted_s:
        return passed(f"it keeps closed workflows for {span(kept_s)}", **evidence)
    message = (
        f"Temporal forgets closed workflows after {span(kept_s)}: how an execution ended that the server has missed for"
        " longer cannot be found out"
    )
    update = f"namespace update -n {shlex.quote(facts.namespace)} --retention {RETENTION_DAYS * 24}h"
    return warned(message, "stigmer restart server" if facts.owns_temporal else operator(facts, update), **evidence)


async def _find_lost(facts: Facts) -> list[ExecutionId]:
    """The first of those in progress that Temporal does not know any more."""
    groups = (await facts.executions()).groups(StuckClass.LOST, phase=Phase.IN_PROGRESS)
    return sorted(ExecutionId(name) for group in groups for name in group.ids)[:IDS_SHOWN]


async def _describe_unclaimed(facts: Facts) -> str:
    """What became of those that no run had claimed, as far as that is known."""
    seen = await facts.executions()
    waiting = sum(group.count for group in seen.groups(StuckClass.ORPHAN, StuckClass.INTERRUPTED))
    if waiting:
        return f"; {count(waiting, 'execution')} of that to be brought back"
    return ", and has been submitted again or ended" if seen.is_judged else ""
