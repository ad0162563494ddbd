"""Checks about other machines: TLS on both links, certificates that are about to expire, a server elsewhere."""

import re
import shlex
from dataclasses import replace
from datetime import timedelta

from stigmer_cli.clock import iso
from stigmer_cli.doctor.check import BUSY_S, Category, Check, Found, Severity, failed, passed, skipped, warned
from stigmer_cli.doctor.facts import Facts, TlsSeen

EXPIRES_SOON = timedelta(days=14)
TLS_SWITCH = re.compile(r"STIGMER_TEMPORAL_TLS=(true|false)")
OTHER_URL = re.compile(r"set STIGMER_SERVER_URL to (https?://[^\s,]+)")
TLS_TO_TEMPORAL, TLS_TO_SERVER = "STG215", "STG125"
LOCAL_COMMAND = re.compile(r"\bstigmer (up|down|restart|logs|serve)\b|\bkill -|\btemporal operator\b")
THERE = "on the machine of that server: stigmer doctor"

LOCAL = frozenset(
    {
        *("STG102", "STG103", "STG104", "STG105", "STG106", "STG107", "STG110", "STG111", "STG112"),
        *("STG116", "STG117", "STG118", "STG119", "STG123", "STG124"),
        *("STG209", "STG211", "STG301", "STG302", "STG304", "STG505"),
    }
)
"""Checks that look at processes and files of this machine; a server elsewhere has its own."""

FROM_HERE = frozenset({"STG201", "STG202", "STG203", "STG205", "STG206", "STG207", "STG208", "STG213", TLS_TO_TEMPORAL})
"""Checks that ask Temporal from this machine, which for a server elsewhere need an address of Temporal."""


async def temporal_tls(facts: Facts) -> Found:
    """Whether both ends agree on TLS, and for how long."""
    if facts.owns_temporal:
        return skipped("the stack's own Temporal listens on this machine only")
    seen = await facts.temporal_tls()
    if seen.why:
        message = f"Temporal at {facts.address} and this command do not agree on TLS: {seen.why}"
        return failed(message, _way_out(facts, seen.why), **_evidence(seen))
    if not seen.is_used:
        return skipped(f"Temporal at {facts.address} is spoken to without TLS")
    probe = f"openssl s_client -connect {facts.address} </dev/null | openssl x509 -noout -dates"
    return _lasting(facts, seen, f"Temporal at {facts.address}", probe)


async def server_tls(facts: Facts) -> Found:
    """The same for the server."""
    seen = await facts.server_tls()
    url = (await facts.server()).url
    if not seen.is_used:
        return skipped(f"the server at {url} is spoken to without TLS")
    where = url.removeprefix("https://")
    probe = f"openssl s_client -connect {where} </dev/null | openssl x509 -noout -dates"
    if seen.why:
        other = OTHER_URL.search(seen.why)
        hint = "stigmer config get server_ca_file" if "STIGMER_SERVER_CA_FILE" in seen.why else probe
        hint = f"STIGMER_SERVER_URL={other[1]} stigmer doctor" if other else hint
        return failed(f"the server at {url} and this command do not agree on TLS: {seen.why}", hint, **_evidence(seen))
    if seen.ends is None:
        return skipped(f"the server at {url} shows no certificate just now")
    return _lasting(facts, seen, f"the server at {url}", probe)


async def server_elsewhere(facts: Facts) -> Found:
    """How a server on another machine stands, by its own word."""
    if facts.elsewhere is None:
        return skipped("the server is the one of this machine")
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    evidence = {"url": facts.elsewhere, "version": health.version, "store": health.store.kind}
    if health.reasons:
        return failed(f"the server at {facts.elsewhere} says: {'; '.join(health.reasons)}", THERE, **evidence)
    return passed(
        f"{facts.elsewhere} is ready: Stigmer {health.version}, store {health.store.kind}, Temporal"
        f" {health.temporal.address}",
        **evidence,
    )


async def elsewhere_found(check: Check, facts: Facts) -> Found:
    """What `check` finds where the server may be elsewhere: nothing about this machine, no fix that is for this one."""
    url = facts.elsewhere
    if url is None:
        return await check.probe(facts)
    if check.code in LOCAL:
        return skipped(f"not on this machine: the server is at {url}")
    if check.code in FROM_HERE and not facts.asks_temporal:
        return skipped(f"not asked from this machine: STIGMER_TEMPORAL_ADDRESS is not set; {url} has its own view")
    found = await check.probe(facts)
    return found if not LOCAL_COMMAND.search(found.hint) else _there(found)


def _there(found: Found) -> Found:
    return replace(found, hint=THERE)


def _lasting(facts: Facts, seen: TlsSeen, whose: str, probe: str) -> Found:
    """Whether the certificates of a link that works go on working."""
    now = facts.clock.now()
    dated = [(f"the certificate of {whose}", seen.ends, probe)]
    own = f"openssl x509 -noout -dates -in {shlex.quote(seen.own_file)}"
    dated += [(f"our certificate {seen.own_file}", seen.own_ends, own)] if seen.own_file else []
    known = sorted((ends, name, hint) for name, ends, hint in dated if ends is not None)
    if not known:
        return passed(f"{whose} and this command agree on TLS", **_evidence(seen))
    ends, name, hint = known[0]
    if ends - now < EXPIRES_SOON:
        when = f"{ends.astimezone():%Y-%m-%d %H:%M}"
        return warned(f"{name} expires at {when}; a new one counts without a restart", hint, **_evidence(seen))
    return passed(f"{name} is valid for {(ends - now).days} days", **_evidence(seen))


def _way_out(facts: Facts, why: str) -> str:
    switch = TLS_SWITCH.search(why)
    if switch:
        return f"stigmer config set temporal_tls {switch[1]} && stigmer restart"
    if facts.settings.temporal_ca_file and "STIGMER_TEMPORAL_CA_FILE" in why:
        return f"openssl x509 -noout -subject -in {shlex.quote(facts.settings.temporal_ca_file)}"
    return f"openssl s_client -connect {facts.address} -showcerts </dev/null"


def _evidence(seen: TlsSeen) -> dict[str, object]:
    return {
        "cause": seen.why,
        "expiresAt": iso(seen.ends) if seen.ends else None,
        "ownFile": seen.own_file or None,
        "ownExpiresAt": iso(seen.own_ends) if seen.own_ends else None,
    }


NETWORK_CHECKS: tuple[Check, ...] = (
    Check(
        code=TLS_TO_TEMPORAL,
        category=Category.TEMPORAL,
        name="TLS to Temporal",
        severity=Severity.ERROR,
        probe=temporal_tls,
        needs=("STG201",),
        timeout_s=BUSY_S,
        explanation="Whether this command and Temporal agree on TLS, with the files that the settings name: the"
        " authority, the name in the certificate, and our own certificate where Temporal wants one. It warns two weeks"
        " before a certificate expires, Temporal's or ours. Files that change are read again without a restart.",
    ),
    Check(
        code=TLS_TO_SERVER,
        category=Category.STACK,
        name="TLS to the server",
        severity=Severity.ERROR,
        probe=server_tls,
        timeout_s=BUSY_S,
        explanation="Where the server is behind https, whether its certificate is trusted here (STIGMER_SERVER_CA_FILE"
        " names an authority of your own), is for the name in the URL, and does not expire within two weeks.",
    ),
    Check(
        code="STG126",
        category=Category.STACK,
        name="server elsewhere",
        severity=Severity.ERROR,
        probe=server_elsewhere,
        needs=("STG108",),
        timeout_s=BUSY_S,
        explanation="Where STIGMER_SERVER_URL names a server on another machine, nothing is said about processes, ports"
        " and files of this one; this is what that server says of itself, its Temporal, its store and its runners.",
    ),
)
