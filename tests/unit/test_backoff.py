"""Backoff never overflows, never exceeds its cap, and jitters over the whole range."""

import random

from stigmer_cli.backoff import Backoff

POLICY = Backoff(initial_s=0.1, factor=1.6, cap_s=1.0)


def test_ceilings_grow_by_the_factor_up_to_the_cap() -> None:
    assert [round(POLICY.ceiling_s(attempt), 4) for attempt in range(1, 8)] == [
        0.1,
        0.16,
        0.256,
        0.4096,
        0.6554,
        1.0,
        1.0,
    ]


def test_a_huge_attempt_does_not_overflow() -> None:
    assert Backoff(initial_s=1, factor=10, cap_s=30).ceiling_s(10**9) == 30


def test_full_jitter_uses_the_whole_range() -> None:
    rng = random.Random(1)
    delays = [POLICY.delay_s(9, rng) for _ in range(2000)]
    assert min(delays) < 0.02
    assert max(delays) > 0.98
    assert all(0 <= delay <= 1.0 for delay in delays)


def test_without_jitter_the_delay_is_the_ceiling() -> None:
    assert Backoff(initial_s=0.2, factor=2, cap_s=30, jitter=False).delay_s(3, random.Random(1)) == 0.8
