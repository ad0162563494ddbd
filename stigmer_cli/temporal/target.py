"""Which Temporal to use, and the waits around it: short on loopback, longer elsewhere."""

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path

from stigmer_cli.backoff import Backoff
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings
from stigmer_cli.tls.files import KeyPair, Stamp, stamp_of
from stigmer_cli.tls.trust import Trust

SYSTEM_TRUST = Trust(
    ca_setting="STIGMER_TEMPORAL_CA_FILE",
    name_setting="STIGMER_TEMPORAL_SERVER_NAME",
    pair_setting="set STIGMER_TEMPORAL_CERT_FILE and STIGMER_TEMPORAL_KEY_FILE",
)
"""The system's authorities, and no certificate of ours."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Address and namespace. `is_own` where the stack runs that Temporal, so that its retention may be raised.

    The key and the TLS material are named by their files, so that rotated ones count.
    """

    address: str
    namespace: str = "default"
    is_own: bool = False
    is_tls: bool = False
    api_key_file: Path | None = None
    trust: Trust = SYSTEM_TRUST

    def stamp(self) -> Stamp:
        """What changes when one of its files does; a client that was dialled before still has the old ones."""
        return stamp_of((*((self.api_key_file,) if self.api_key_file else ()), *self.trust.paths))

    @property
    def is_loopback(self) -> bool:
        """Whether the address is this machine."""
        host = self.address.rpartition(":")[0].strip("[]")
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def target_of(settings: Settings) -> Target:
    """The Temporal that `settings` mean. TLS and a key are for one that somebody else runs: our own has neither.

    Raises ConfigError where a certificate is named without its key, or a key without its certificate.
    """
    if settings.runs_own_temporal:
        return Target(address=settings.temporal_target, namespace=settings.temporal_namespace, is_own=True)
    key_file = settings.temporal_api_key_file
    trust = trust_of(settings)
    return Target(
        address=settings.temporal_target,
        namespace=settings.temporal_namespace,
        is_tls=bool(key_file) or trust != SYSTEM_TRUST if settings.temporal_tls is None else settings.temporal_tls,
        api_key_file=Path(key_file) if key_file else None,
        trust=trust,
    )


def trust_of(settings: Settings) -> Trust:
    """What is believed of, and shown to, the Temporal that `settings` mean; raises ConfigError as `target_of` does."""
    cert, key = settings.temporal_cert_file, settings.temporal_key_file
    if (cert is None) is not (key is None):
        given, missing = ("CERT", "KEY") if cert else ("KEY", "CERT")
        raise ConfigError(
            f"STIGMER_TEMPORAL_{given}_FILE is set and STIGMER_TEMPORAL_{missing}_FILE is not; a certificate goes with"
            " its key",
            hint="set both, or neither",
        )
    pair = None
    if cert and key:
        pair = KeyPair(
            cert=Path(cert),
            key=Path(key),
            cert_setting="STIGMER_TEMPORAL_CERT_FILE",
            key_setting="STIGMER_TEMPORAL_KEY_FILE",
        )
    ca = settings.temporal_ca_file
    return replace(SYSTEM_TRUST, ca=Path(ca) if ca else None, pair=pair, server_name=settings.temporal_server_name)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Every wait around one Temporal, in seconds.

    `probe_gap_s` is the least time between two probes when failing calls ask for them; `call_s` the total deadline of
    a call with its tries; `resolve_s` the part of it that is kept to find out how an ambiguous one ended. `knocking` is
    for an address where nobody listens: how long only the port is tried between two dials; None if that is not done.
    `is_line_kept`: whether a connection is kept open that says nothing, and a probe is due when it is closed.
    """

    probe_every_s: float
    probe_s: float
    probe_gap_s: float
    dial_s: float
    redial: Backoff
    knocking: Backoff | None
    is_line_kept: bool
    misconfigured_every_s: float
    call_s: float
    resolve_s: float


LOOPBACK = Pace(
    probe_every_s=2.0,  # for one that is frozen: of one that ends, the line tells at once
    probe_s=1.0,
    probe_gap_s=0.1,
    dial_s=2.0,
    # The longest wait is most of what passes until the first submit after Temporal serves again: within 1 s in all.
    redial=Backoff(initial_s=0.1, factor=1.6, cap_s=0.6),
    knocking=Backoff(initial_s=0.2, factor=2.0, cap_s=2.0),  # with full jitter one dial a second
    is_line_kept=True,
    misconfigured_every_s=2.0,
    call_s=2.0,
    resolve_s=0.5,
)
ELSEWHERE = Pace(
    probe_every_s=5.0,
    probe_s=1.0,
    probe_gap_s=0.5,
    dial_s=10.0,
    redial=Backoff(initial_s=0.1, factor=1.6, cap_s=30.0),
    knocking=None,
    is_line_kept=False,
    misconfigured_every_s=30.0,
    call_s=10.0,
    resolve_s=2.0,
)


def pace_of(target: Target) -> Pace:
    """The pace that fits where `target` is."""
    return LOOPBACK if target.is_loopback else ELSEWHERE
