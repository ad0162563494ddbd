"""TLS to Temporal: what the SDK is given for it, and why a dial failed where TLS is the reason."""

import asyncio
from contextlib import suppress

from temporalio.service import TLSConfig

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ConfigError
from stigmer_cli.temporal.errors import NO_TLS_IN_IT, Misconfigured, cause_of
from stigmer_cli.temporal.target import Target
from stigmer_cli.tls.files import read_pem
from stigmer_cli.tls.handshake import why_not
from stigmer_cli.tls.peers import temporal_peer

OLD_CERTIFICATE = "UnsupportedCertVersion"
"""The SDK's word (rustls) for what OpenSSL takes, and makes where no extension is asked for."""

LOOK_S = 1.5
"""A second look at a handshake, within the deadline of a dial."""


def tls_of(target: Target) -> TLSConfig | bool:
    """What the SDK dials with, from the files as they are now; raises Misconfigured where one cannot be used."""
    if not target.is_tls:
        return False
    trust = target.trust
    try:
        trust.context()  # the SDK's own words for a file that it cannot use name neither file nor setting
        return TLSConfig(
            server_root_ca_cert=read_pem(trust.ca, trust.ca_setting).encode() if trust.ca else None,
            domain=trust.server_name,
            client_cert=read_pem(trust.pair.cert, trust.pair.cert_setting).encode() if trust.pair else None,
            client_private_key=read_pem(trust.pair.key, trust.pair.key_setting).encode() if trust.pair else None,
        )
    except ConfigError as error:
        raise Misconfigured(error.message, hint=error.hint) from error


async def find_tls_cause(error: Exception, target: Target, *, clock: Clock) -> Misconfigured | None:
    """Why a dial ended with `error`, where both ends do not agree on TLS; None where that is not why."""
    if OLD_CERTIFICATE in str(error) and target.trust.pair is not None:
        return Misconfigured(
            f"our certificate {target.trust.pair.cert} cannot be shown: it is of X.509"
            " version 1; have it issued with an extension, such as subjectAltName"
        )
    if cause_of(error, target) in NO_TLS_IN_IT:
        return None
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            told = await why_not(temporal_peer(target.address), target.trust if target.is_tls else None, clock=clock)
            return Misconfigured(told) if told else None
    return None
