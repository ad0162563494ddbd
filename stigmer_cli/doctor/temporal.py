"""Checks of category Temporal: as this command sees it, as the server sees it, and whether the two agree."""

import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from stigmer_cli.clock import is_older, iso
from stigmer_cli.doctor.check import (
    BUSY_S,
    Category,
    Check,
    Found,
    Severity,
    because,
    failed,
    passed,
    skipped,
    told,
    warned,
)
from stigmer_cli.doctor.clocks import servers_now
from stigmer_cli.doctor.facts import Facts
from stigmer_cli.doctor.task_queue import POLLING_CHECKS
from stigmer_cli.doctor.text import IDS_SHOWN, clock_time, count, span
from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Settings
from stigmer_cli.temporal.dev_server import RETENTION_DAYS, find_binary

if TYPE_CHECKING:
    from stigmer_cli.api.health import TemporalHealth

CONNECTED, MISCONFIGURED, SUSPECT = "CONNECTED", "MISCONFIGURED", "SUSPECT"
SERVING_S = 2.0
"""Loading the SDK takes a third of a second, the dial one, the questions after it half of one."""

FORBIDDEN = 403
WAIT = "stigmer doctor --wait=30"
"""Where nothing is to be done here: what was accepted waits, and goes on by itself."""

REFUSALS = frozenset({"permission denied", "credentials refused"})
SUBMITS_FAIL = "submits have been failing"
DAY_S = 86_400
LOST_RECENTLY_S = 3600.0
FOUNDING = "STG205"
TLS_TO_TEMPORAL = "STG215"


async def reachable(facts: Facts) -> Found:
    """Whether the port takes connections from here."""
    endpoint = await facts.endpoint()
    evidence = {
        "address": endpoint.address,
        "namespace": endpoint.namespace,
        "isOwn": endpoint.is_own,
        "cause": endpoint.why,
    }
    if endpoint.why:
        hint = "stigmer restart temporal" if endpoint.is_own else WAIT
        return failed(f"Temporal at {endpoint.address} cannot be reached from here: {endpoint.why}", hint, **evidence)
    return passed(f"{endpoint.address} takes connections from here", **evidence)


async def serving(facts: Facts) -> Found:
    """Whether what listens there is Temporal and answers."""
    seen = await facts.temporal()
    evidence = {"state": str(seen.state), "cause": seen.cause}
    if seen.state in (CONNECTED, MISCONFIGURED):
        return passed("it answers as Temporal does", **evidence)
    hint = "stigmer restart temporal" if facts.owns_temporal else WAIT
    message = f"Temporal at {facts.address} takes connections, but does not serve: {seen.cause}"
    return failed(message, hint, **evidence)


async def namespace(facts: Facts) -> Found:
    """Whether the namespace is there and lets us in."""
    seen = await facts.temporal()
    evidence = {"namespace": facts.namespace, "cause": seen.cause, "namespaceId": seen.namespace_id}
    if seen.is_connected:
        return passed(f'namespace "{facts.namespace}" is there', **evidence)
    message = f"Temporal at {facts.address} cannot be used: {seen.cause}"
    if "namespace" in seen.cause:
        return failed(message, _operator(facts, f"namespace create -n {shlex.quote(facts.namespace)}"), **evidence)
    if seen.cause not in REFUSALS:
        return failed(message, WAIT, **evidence)
    key_file = facts.settings.temporal_api_key_file
    hint = f"ls -l {shlex.quote(key_file)}; {WAIT}" if key_file else WAIT
    return failed(f"{message}: it refuses our credentials, and its operator must let us in", hint, **evidence)


async def servers_view(facts: Facts) -> Found:
    """What the server says of its own connection."""
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    view = health.temporal
    evidence = _connection_json(view)
    if view.state == CONNECTED:
        again = f", {view.reconnects} reconnects" if view.reconnects else ""
        return passed(f"connected to {view.address} since {clock_time(view.since)}{again}", **evidence)
    if (await facts.temporal()).is_connected:
        return because(FOUNDING)
    return failed(f"{_disconnected(view)}; it goes on trying", WAIT, **evidence)


async def founding(facts: Facts) -> Found:
    """The bug that Stigmer was founded on: Temporal is there, and the server does not see it."""
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    view = health.temporal
    if view.state == CONNECTED:
        return passed("this command and the server both reach Temporal")
    where = f"{facts.address} (namespace {facts.namespace})"
    message = f"this command reaches Temporal at {where}, but the server does not: {_disconnected(view)}"
    evidence = {"seenFromHere": where, **_connection_json(view)}
    if view.state == SUSPECT:
        return warned(message, "stigmer doctor --wait=10", **evidence)
    return failed(message, "stigmer restart server" if facts.endpoints else _start_serving(facts), **evidence)


async def same(facts: Facts) -> Found:
    """Whether command and server mean the same Temporal."""
    health = (await facts.server()).health
    seen = await facts.temporal()
    if health is None or health.temporal.cluster_id is None:
        return skipped("the server is not connected to any Temporal")
    view = health.temporal
    ours = (seen.cluster_id or "", seen.namespace_id or "")
    theirs = (view.cluster_id or "", view.namespace_id or "")
    evidence = {"here": [facts.address, facts.namespace, *ours], "server": [view.address, view.namespace, *theirs]}
    if ours == theirs:
        return passed("command and server talk to the same Temporal", **evidence)
    message = (
        f"the server talks to another Temporal ({view.address}, namespace {view.namespace}) than these settings mean "
        f"({facts.address}, namespace {facts.namespace})"
    )
    is_meant = (view.address, view.namespace) == (facts.address, facts.namespace)
    return failed(message, "stigmer restart server" if is_meant else "stigmer restart", **evidence)


async def takes_submits(facts: Facts) -> Found:
    """Whether Temporal takes what the server submits."""
    health = (await facts.server()).health
    strain = next((reason for reason in health.reasons if SUBMITS_FAIL in reason), "") if health else ""
    if not strain:
        return passed("it takes what the server submits")
    return failed(f"{strain}; they are tried again, more slowly, and wait in the queue meanwhile", WAIT, reason=strain)


async def retention(facts: Facts) -> Found:
    """Whether closed workflows stay long enough to be asked about."""
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
    return warned(message, "stigmer restart server" if facts.owns_temporal else _operator(facts, update), **evidence)


async def remembers(facts: Facts) -> Found:
    """Whether workflows outlive a restart of Temporal."""
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


async def memory(facts: Facts) -> Found:
    """Whether Temporal came back as another one than before."""
    health = (await facts.server()).health
    at = health.temporal.memory_lost_at if health else None
    if at is None:
        return passed("it has kept its memory")
    message = f"Temporal lost its memory at {clock_time(at)}: what was submitted before was unknown to it"
    evidence: dict[str, object] = {"memoryLostAt": iso(at)}
    hurt = await _lost_with_it(facts)
    if hurt:
        evidence |= {"lost": hurt}
        words = f"{message}; {count(len(hurt), 'execution')} in progress then, and now in need of your word: {hurt[0]}"
        return failed(words, f"stigmer executions reconcile {' '.join(hurt)} --include-in-progress", **evidence)
    message += await _fate(facts)
    if is_older(at, await servers_now(facts), than_s=LOST_RECENTLY_S):
        return told(message, **evidence)
    return warned(message, "stigmer doctor --only executions -v", **evidence)


async def _lost_with_it(facts: Facts) -> list[str]:
    """The first of those in progress that Temporal does not know any more."""
    seen = await facts.executions()
    marked = {row.metadata.id for row in seen.open if row.status.attention and row.status.attention.code == "lost"}
    return sorted(marked | {one.id for one in seen.drifts if one.found == "lost"})[:IDS_SHOWN]


async def _fate(facts: Facts) -> str:
    """What came of those that no run had claimed, as far as somebody could look."""
    seen = await facts.executions()
    waiting = sum(one.found == "orphan" for one in seen.drifts)
    if waiting:
        return f"; {count(waiting, 'execution')} of that to be brought back"
    return ", and has been submitted again or ended" if seen.is_judged else ""


async def http_api(facts: Facts) -> Found:
    """Whether a web page could start workflows."""
    if not facts.owns_temporal:
        return skipped(f"somebody else runs the Temporal at {facts.address}")
    found = await facts.http_endpoints()
    evidence = {"doors": [{"port": endpoint.port, "status": endpoint.status} for endpoint in found]}
    if any(endpoint.status < FORBIDDEN for endpoint in found):
        port = next(endpoint.port for endpoint in found if endpoint.status < FORBIDDEN)
        message = f"Temporal's HTTP API is open on port {port}: any web page could start workflows on this machine"
        return failed(message, "stigmer restart", **evidence)
    return passed("its HTTP API is closed", **evidence)


def _disconnected(view: "TemporalHealth") -> str:
    cause = f" ({view.cause})" if view.cause else ""
    tries = f", {view.attempt} {'try' if view.attempt == 1 else 'tries'}" if view.attempt else ""
    following = f", next at {clock_time(view.next_try_at)}" if view.next_try_at else ""
    return f"the server is {view.state} at {view.address} since {clock_time(view.since)}{cause}{tries}{following}"


def _connection_json(view: "TemporalHealth") -> dict[str, object]:
    def stamp(at: datetime | None) -> str | None:
        return iso(at) if at else None

    return {
        "state": view.state,
        "address": view.address,
        "namespace": view.namespace,
        "since": iso(view.since),
        "cause": view.cause,
        "attempt": view.attempt,
        "nextTryAt": stamp(view.next_try_at),
        "reconnects": view.reconnects,
    }


def _operator(facts: Facts, arguments: str) -> str:
    return f"{_binary(facts.settings)} operator {arguments} --address {facts.address}"


def _binary(settings: Settings) -> str:
    """The `temporal` that Stigmer uses: it need not be on the PATH."""
    try:
        return shlex.quote(str(find_binary(settings.temporal_binary)))
    except MachineError:
        return "temporal"


def _start_serving(facts: Facts) -> str:
    namespace = shlex.quote(facts.namespace)
    return f"STIGMER_TEMPORAL_ADDRESS={facts.address} STIGMER_TEMPORAL_NAMESPACE={namespace} stigmer serve"


TEMPORAL_CHECKS: tuple[Check, ...] = (
    Check(
        code="STG201",
        category=Category.TEMPORAL,
        name="reachable from here",
        severity=Severity.ERROR,
        probe=reachable,
        needs=("STG105",),
        timeout_s=BUSY_S,
        explanation="This command itself opens a connection to Temporal's port, whatever the server says. Refused means"
        " that nobody listens there; no answer, that a firewall drops the packets or the machine is away.",
    ),
    Check(
        code="STG202",
        category=Category.TEMPORAL,
        name="serving",
        severity=Severity.ERROR,
        probe=serving,
        needs=("STG201", TLS_TO_TEMPORAL),
        timeout_s=SERVING_S,
        explanation="A port that takes connections proves little: a frozen Temporal does, and so does any other"
        " program. So this dials it as the server does, describes the namespace and asks history a question.",
    ),
    Check(
        code="STG203",
        category=Category.TEMPORAL,
        name="namespace",
        severity=Severity.ERROR,
        probe=namespace,
        needs=("STG202",),
        explanation="Executions run in one namespace of Temporal. Where it is missing, or the credentials are refused,"
        ' everything is "not found" and that means nothing: so nothing is judged and nothing is submitted again. Create'
        " the namespace, or set STIGMER_TEMPORAL_NAMESPACE.",
    ),
    Check(
        code="STG204",
        category=Category.TEMPORAL,
        name="server's connection",
        severity=Severity.ERROR,
        probe=servers_view,
        needs=("STG108",),
        timeout_s=SERVING_S,
        explanation="The server keeps one connection to Temporal, probes it every second and dials again for ever. This"
        " is what it says of it: state, since when, why, how often it tried, and when it tries next.",
    ),
    Check(
        code=FOUNDING,
        category=Category.TEMPORAL,
        name="server reaches what we reach",
        severity=Severity.ERROR,
        probe=founding,
        needs=("STG108", "STG203"),
        explanation="The bug that Stigmer was founded on: a server that dialled Temporal once, at start, and never"
        " again, while Temporal was long back and executions stayed PENDING for ever. When this command reaches"
        " Temporal and the server does not, the fault is on the server's side: another address or namespace in its"
        " settings (it keeps those it was started with), or a proxy or firewall around it.",
    ),
    Check(
        code="STG206",
        category=Category.TEMPORAL,
        name="one and the same",
        severity=Severity.ERROR,
        probe=same,
        needs=(FOUNDING,),
        explanation="Cluster id and namespace id tell one Temporal from another, also behind one address. A server that"
        " talks to another one than the settings of this shell mean was started with other settings.",
    ),
    *POLLING_CHECKS,
    Check(
        code="STG209",
        category=Category.TEMPORAL,
        name="remembers restarts",
        severity=Severity.WARNING,
        probe=remembers,
        needs=("STG105",),
        explanation="With a database file Temporal's workflows outlive its restarts. With `--ephemeral` they do not:"
        " executions that no run had claimed are then submitted again, those in progress need a person's word.",
    ),
    Check(
        code="STG210",
        category=Category.TEMPORAL,
        name="kept its memory",
        severity=Severity.WARNING,
        probe=memory,
        needs=("STG108",),
        timeout_s=SERVING_S,
        explanation="The server remembers which Temporal answered. When another one answers behind the same address, an"
        " emptied one say, every workflow of before is unknown there. Executions that no run had claimed are submitted"
        " again by themselves; those in progress may have had effects and are marked for attention.",
    ),
    Check(
        code="STG211",
        category=Category.TEMPORAL,
        name="HTTP API closed",
        severity=Severity.WARNING,
        probe=http_api,
        needs=("STG105",),
        explanation="Temporal's dev server opens an HTTP API, which would let any web page start workflows. Stigmer"
        " starts it so that it answers 403, and on Linux only to the stack itself (see STG123); this asks every port"
        " of its process.",
    ),
    Check(
        code="STG212",
        category=Category.TEMPORAL,
        name="takes submits",
        severity=Severity.ERROR,
        probe=takes_submits,
        needs=("STG108", "STG203"),
        explanation="A Temporal that answers may still refuse to start workflows: it has no room (RESOURCE_EXHAUSTED),"
        " or its history is not up yet. The server then submits fewer at once and tries again for ever; nothing is"
        " lost, and what waits is in `stigmer executions list --stuck`.",
    ),
    Check(
        code="STG213",
        category=Category.TEMPORAL,
        name="retention",
        severity=Severity.WARNING,
        probe=retention,
        needs=("STG203",),
        explanation="Temporal deletes closed workflows after the retention of their namespace. One that is deleted is"
        " unknown, and whether it had been done can no longer be told. The server raises the retention of the stack's"
        " own Temporal to thirty days when it connects; that of another Temporal is up to its operator.",
    ),
)
