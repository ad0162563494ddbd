"""Checks of category Temporal: as this command sees it, as the server sees it, and whether the two agree."""

import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import iso
from stigmer_cli.doctor.check import BUSY_S, Found, Scope, because, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.text import clock_time, describe_origin, operator
from stigmer_cli.domain.stuck import WAIT
from stigmer_cli.stack.precedence import TEMPORAL

if TYPE_CHECKING:
    from stigmer_cli.api.health import TemporalHealth

SERVING_S = 2.0
"""Loading the SDK takes a third of a second, the dial a second, the calls after it half a second."""

REFUSALS = frozenset({"permission denied", "credentials refused"})
FOUNDING = "STG205"


@check("STG201", "reachable from here", needs=("STG105",), timeout_s=BUSY_S, scope=Scope.TEMPORAL, settles=True)
async def reachable(facts: Facts) -> Found:
    """This command itself opens a connection to Temporal's port, whatever the server says.

    Refused means that nobody listens there; no answer, that a firewall drops the packets or the machine is away.
    """
    endpoint = await facts.endpoint()
    evidence = {
        "address": endpoint.address,
        "namespace": endpoint.namespace,
        "isOwn": endpoint.is_own,
        "cause": endpoint.why,
    }
    if endpoint.why:
        words = f"Temporal at {endpoint.address} cannot be reached from here: {endpoint.why}"
        hint = "stigmer restart temporal" if endpoint.is_own else WAIT
        return failed(f"{words}{describe_origin(facts, TEMPORAL)}", hint, **evidence)
    return passed(f"{endpoint.address} takes connections from here", **evidence)


@check("STG202", "serving", needs=("STG201", "STG215"), timeout_s=SERVING_S, scope=Scope.TEMPORAL, settles=True)
async def serving(facts: Facts) -> Found:
    """A port that takes connections proves little: a frozen Temporal takes them, and so does any other program.

    So this dials it as the server does, describes the namespace and asks history a question.
    """
    seen = await facts.temporal()
    evidence = {"state": str(seen.state), "cause": seen.cause}
    if seen.state in (ConnectionState.CONNECTED, ConnectionState.MISCONFIGURED):
        return passed("it answers as Temporal does", **evidence)
    hint = "stigmer restart temporal" if facts.owns_temporal else WAIT
    message = f"Temporal at {facts.address} takes connections, but does not serve: {seen.cause}"
    return failed(message, hint, **evidence)


@check("STG203", "namespace", needs=("STG202",), scope=Scope.TEMPORAL, settles=True)
async def namespace(facts: Facts) -> Found:
    """Executions run in one namespace of Temporal.

    Where it is missing, or the credentials are refused, everything is "not found" and that means nothing: so nothing is
    judged and nothing is submitted again. Create the namespace, or set STIGMER_TEMPORAL_NAMESPACE.
    """
    seen = await facts.temporal()
    evidence = {"namespace": facts.namespace, "cause": seen.cause, "namespaceId": seen.namespace_id}
    if seen.is_connected:
        return passed(f'namespace "{facts.namespace}" is there', **evidence)
    origin = describe_origin(facts, "temporal_namespace" if "namespace" in seen.cause else TEMPORAL)
    message = f"Temporal at {facts.address} cannot be used: {seen.cause}{origin}"
    if "namespace" in seen.cause:
        return failed(message, operator(facts, f"namespace create -n {shlex.quote(facts.namespace)}"), **evidence)
    if seen.cause not in REFUSALS:
        return failed(message, WAIT, **evidence)
    key_file = facts.settings.temporal_api_key_file
    hint = f"ls -l {shlex.quote(key_file)}; {WAIT}" if key_file else WAIT
    return failed(f"{message}: it refuses our credentials, and its operator must let us in", hint, **evidence)


@check("STG204", "server's connection", needs=("STG108",), timeout_s=SERVING_S, settles=True)
async def servers_view(facts: Facts) -> Found:
    """The server keeps one connection to Temporal, probes it every 2 s (elsewhere 5 s) and dials again for ever.

    This is what it says of it: state, since when, why, how often it tried, and when it tries next.
    """
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    view = health.temporal
    evidence = _connection_json(view)
    if view.state == ConnectionState.CONNECTED:
        again = f", {view.reconnects} reconnects" if view.reconnects else ""
        return passed(f"connected to {view.address} since {clock_time(view.since)}{again}", **evidence)
    if (await facts.temporal()).is_connected:
        return because(FOUNDING)
    return failed(f"{_describe_disconnected(view)}; it keeps trying", WAIT, **evidence)


@check("STG205", "server reaches what we reach", needs=("STG108", "STG203"), scope=Scope.TEMPORAL, settles=True)
async def founding(facts: Facts) -> Found:
    """Stigmer was built because of this bug: a server dialled Temporal once, at its start, and never again, so that
    executions stayed PENDING for ever although Temporal was back. When this command reaches Temporal and the server
    does not, the fault is on the server's side: another address or namespace in its settings (it keeps those it was
    started with), or a proxy or firewall around it.
    """  # noqa: D205 - the sentence that names the bug is longer than a line
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    view = health.temporal
    if view.state == ConnectionState.CONNECTED:
        return passed("this command and the server both reach Temporal")
    where = f"{facts.address} (namespace {facts.namespace})"
    message = f"this command reaches Temporal at {where}, but the server does not: {_describe_disconnected(view)}"
    evidence = {"seenFromHere": where, **_connection_json(view)}
    if view.state == ConnectionState.SUSPECT:
        return warned(message, "stigmer doctor --wait=10", **evidence)
    return failed(message, "stigmer restart server" if facts.endpoints else _start_serving(facts), **evidence)


@check("STG206", "one and the same", needs=(FOUNDING,), scope=Scope.TEMPORAL)
async def same(facts: Facts) -> Found:
    """Cluster id and namespace id tell one Temporal from another, also behind one address.

    A server that talks to another one than the settings of this shell mean was started with other settings.
    """
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
        f"the server talks to another Temporal ({view.address}, namespace {view.namespace}) than the settings of this"
        f" shell name ({facts.address}, namespace {facts.namespace})"
    )
    is_meant = (view.address, view.namespace) == (facts.address, facts.namespace)
    return failed(message, "stigmer restart server" if is_meant else "stigmer restart", **evidence)


def _describe_disconnected(view: "TemporalHealth") -> str:
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


def _start_serving(facts: Facts) -> str:
    namespace = shlex.quote(facts.namespace)
    return f"STIGMER_TEMPORAL_ADDRESS={facts.address} STIGMER_TEMPORAL_NAMESPACE={namespace} stigmer serve"
