"""Which Temporal is meant, and how patient one is with it: fast on loopback, calm elsewhere."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.backoff import Backoff
from stigmer_cli.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Target:
    """Address and namespace. `is_own` where the stack runs that Temporal, so that its retention may be raised.

    The key is named by its file, so that one that was rotated counts from the next dial on.
    """

    address: str
    namespace: str = "default"
    is_own: bool = False
    is_tls: bool = False
    api_key_file: Path | None = None

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
    """The Temporal that `settings` mean. TLS and a key are for one that somebody else runs: our own has neither."""
    if settings.runs_own_temporal:
        return Target(address=settings.temporal_target, namespace=settings.temporal_namespace, is_own=True)
    key_file = settings.temporal_api_key_file
    return Target(
        address=settings.temporal_target,
        namespace=settings.temporal_namespace,
        is_tls=bool(key_file) if settings.temporal_tls is None else settings.temporal_tls,
        api_key_file=Path(key_file) if key_file else None,
    )


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Every wait around one Temporal, in seconds.

    `probe_gap_s` is the least time between two probes when failing calls ask for them; `call_s` the total deadline of
    a call with its tries; `resolve_s` the part of it that is kept to find out how an ambiguous one ended. `knocking` is
    for an address where nobody listens: how long it is only knocked at between two dials; None where that is not done.
    """

    probe_every_s: float
    probe_s: float
    probe_gap_s: float
    dial_s: float
    redial: Backoff
    knocking: Backoff | None
    misconfigured_every_s: float
    call_s: float
    resolve_s: float


LOOPBACK = Pace(
    probe_every_s=1.0,
    probe_s=1.0,
    probe_gap_s=0.1,
    dial_s=2.0,
    # The longest wait is most of what passes until the first submit after Temporal serves again: within 1 s in all.
    redial=Backoff(initial_s=0.1, factor=1.6, cap_s=0.6),
    knocking=Backoff(initial_s=0.2, factor=2.0, cap_s=2.0),  # with full jitter one dial a second
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
    misconfigured_every_s=30.0,
    call_s=10.0,
    resolve_s=2.0,
)


def pace_of(target: Target) -> Pace:
    """The pace that fits where `target` is."""
    return LOOPBACK if target.is_loopback else ELSEWHERE
