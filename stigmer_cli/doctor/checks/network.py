"""Checks about other machines: TLS on both links, certificates that are about to expire, a server elsewhere."""

import re
import shlex
from datetime import timedelta

from stigmer_cli.clock import iso
from stigmer_cli.doctor.check import BUSY_S, Found, Scope, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts, TlsSeen
from stigmer_cli.doctor.remote_scope import THERE
from stigmer_cli.time_format import day_and_time

EXPIRES_SOON = timedelta(days=14)
TLS_SWITCH = re.compile(r"STIGMER_TEMPORAL_TLS=(true|false)")
OTHER_URL = re.compile(r"set STIGMER_SERVER_URL to (https?://[^\s,]+)")


@check("STG215", "TLS to Temporal", needs=("STG201",), timeout_s=BUSY_S, scope=Scope.TEMPORAL)
async def temporal_tls(facts: Facts) -> Found:
    """This command and Temporal must agree on TLS, with the files that the settings name.

    Those name the authority, and our own certificate where Temporal wants one; the certificate of Temporal must be for
    its name. This warns two weeks before a certificate expires, Temporal's or ours. Files that change are read again
    without a restart.
    """
    if facts.owns_temporal:
        return skipped("the stack's own Temporal listens on this machine only")
    seen = await facts.temporal_tls()
    if seen.why:
        message = f"Temporal at {facts.address} and this command do not agree on TLS: {seen.why}"
        return failed(message, _way_out(facts, seen.why), **_evidence(seen))
    if not seen.is_used:
        return skipped(f"Temporal at {facts.address} is used without TLS")
    probe = f"openssl s_client -connect {facts.address} </dev/null | openssl x509 -noout -dates"
    return _judge_expiry(facts, seen, f"Temporal at {facts.address}", probe)


@check("STG125", "TLS to the server", timeout_s=BUSY_S)
async def server_tls(facts: Facts) -> Found:
    """The certificate of a server behind https must be trusted here and be for the name in the URL.

    STIGMER_SERVER_CA_FILE names an authority of your own. This warns two weeks before the certificate expires.
    """
    seen = await facts.server_tls()
    url = (await facts.server()).url
    if not seen.is_used:
        return skipped(f"the server at {url} is used without TLS")
    where = url.removeprefix("https://")
    probe = f"openssl s_client -connect {where} </dev/null | openssl x509 -noout -dates"
    if seen.why:
        other = OTHER_URL.search(seen.why)
        hint = "stigmer config get server_ca_file" if "STIGMER_SERVER_CA_FILE" in seen.why else probe
        hint = f"STIGMER_SERVER_URL={other[1]} stigmer doctor" if other else hint
        return failed(f"the server at {url} and this command do not agree on TLS: {seen.why}", hint, **_evidence(seen))
    if seen.ends is None:
        return skipped(f"the server at {url} shows no certificate just now")
    return _judge_expiry(facts, seen, f"the server at {url}", probe)


@check("STG126", "server elsewhere", needs=("STG108",), timeout_s=BUSY_S)
async def server_elsewhere(facts: Facts) -> Found:
    """STIGMER_SERVER_URL may name a server on another machine.

    Then nothing is said about processes, ports and files of this one; this is what that server says of itself, its
    Temporal, its store and its runners.
    """
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


def _judge_expiry(facts: Facts, seen: TlsSeen, whose: str, probe: str) -> Found:
    """Judge when the certificates of a working link expire."""
    now = facts.clock.now()
    dated = [(f"the certificate of {whose}", seen.ends, probe)]
    own = f"openssl x509 -noout -dates -in {shlex.quote(seen.own_file)}"
    dated += [(f"our certificate {seen.own_file}", seen.own_ends, own)] if seen.own_file else []
    known = sorted((ends, name, hint) for name, ends, hint in dated if ends is not None)
    if not known:
        return passed(f"{whose} and this command agree on TLS", **_evidence(seen))
    ends, name, hint = known[0]
    if ends - now < EXPIRES_SOON:
        when = f"{day_and_time(ends)}"
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
