"""Probes TLS: a handshake with Temporal and with the server, and the certificates that are shown on either side."""

import asyncio
from datetime import datetime

from stigmer_cli.clock import Clock
from stigmer_cli.doctor.facts.facts import EndpointSeen, TlsSeen
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings
from stigmer_cli.temporal.target import Target
from stigmer_cli.tls.files import KeyPair, read_certificate
from stigmer_cli.tls.handshake import Peer, shown_by, why_not
from stigmer_cli.tls.peers import server_peer, temporal_peer
from stigmer_cli.tls.trust import Trust, server_trust

HANDSHAKE_S = 1.2


async def probe_temporal_tls(target: Target, endpoint: EndpointSeen, clock: Clock) -> TlsSeen:
    """TLS to Temporal; where the settings use none, TLS is tried only if Temporal did not answer without."""
    peer = temporal_peer(target.address)
    if not target.is_tls:
        return TlsSeen(why=await _why_no_handshake(peer, None, clock) if endpoint.silence else "")
    seen = await _probe_peer(peer, target.trust, clock)
    pair = target.trust.pair
    return seen if pair is None else _add_own_certificate(seen, pair)


async def probe_server_tls(url: str, settings: Settings, clock: Clock) -> TlsSeen:
    """TLS to the server at `url`."""
    if not url.startswith("https://"):
        return TlsSeen()
    return await _probe_peer(server_peer(url), server_trust(settings.server_ca_file), clock)


async def _probe_peer(peer: Peer, trust: Trust, clock: Clock) -> TlsSeen:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_why_no_handshake(peer, trust, clock), name="handshake")
        looking = group.create_task(_read_expiry(peer, trust), name="certificate")
    return TlsSeen(is_used=True, why=asking.result(), ends=looking.result())


async def _why_no_handshake(peer: Peer, trust: Trust | None, clock: Clock) -> str:
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            return await why_not(peer, trust, clock=clock)
    except TimeoutError:
        return ""


async def _read_expiry(peer: Peer, trust: Trust) -> datetime | None:
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            shown = await shown_by(peer, trust)
    except TimeoutError:
        return None
    return shown.ends if shown else None


def _add_own_certificate(seen: TlsSeen, pair: KeyPair) -> TlsSeen:
    try:
        ends: datetime | None = read_certificate(pair.cert, pair.cert_setting).ends
    except ConfigError:
        ends = None
    return TlsSeen(is_used=True, why=seen.why, ends=seen.ends, own_ends=ends, own_file=str(pair.cert))
