"""The check whether a web page could read anything from the stack's sockets."""

import sys

from stigmer_cli.doctor.check import BUSY_S, Found, Scope, Severity, check, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.text import count

ADDRESSES_SHOWN = 3


@check("STG123", "out of reach of web pages", severity=Severity.WARNING, timeout_s=BUSY_S, scope=Scope.MACHINE)
async def out_of_reach(facts: Facts) -> Found:
    """A page in your browser can ask any port of this machine.

    It can read the answer once its host name points here (DNS rebinding). This asks every listening socket of the stack
    as such a page would. Temporal's web UI, metrics and HTTP API answer any name; on Linux the supervisor has the
    kernel drop what does not come from the stack's own address. Where that failed, its log (stigmer logs supervisor)
    says `source filter not attached` and why: a kernel before 5.6, or a container that forbids pidfd_getfd.
    """
    found = await facts.page_endpoints()
    if not found:
        return skipped("no part of the stack listens here")
    open_endpoints = [endpoint for endpoint in found if endpoint.given]
    evidence = {
        "open": [
            {"part": endpoint.part, "address": endpoint.address, "paths": list(endpoint.given)}
            for endpoint in open_endpoints
        ]
    }
    if not open_endpoints:
        return passed(f"{count(len(found), 'socket')} asked under a foreign host name, and none answers", **evidence)
    places = ", ".join(f"{endpoint.part} at {endpoint.address}" for endpoint in open_endpoints[:ADDRESSES_SHOWN])
    message = f"a web page that makes its name point here can read {places}"
    if sys.platform != "linux":
        return told(f"{message}: there is only 127.0.0.1 here, and no filter for it", **evidence)
    return warned(message, "stigmer restart temporal", **evidence)
