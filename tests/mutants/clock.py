"""Mutants of code that compares moments and measures durations."""

from tests.mutants.mutant import Mutant

STORED = "tests/contracts/store/test_queue.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a next try that was set under a clock that ran ahead is waited for",
        file="store/due_rows.py",
        old=', next_try_at > bindparam("furthest")',
        new=', next_try_at < bindparam("furthest") * 0',
        caught_by=(STORED,),
    ),
    Mutant(
        name="what was accepted under a clock that ran ahead is young",
        file="clock.py",
        old=" or moment > now + SKEW_MAX",
        new="",
        caught_by=("tests/unit/test_clock.py",),
    ),
    Mutant(
        name="a moment of Temporal is compared with our clock",
        file="executions/pollers.py",
        old="            return at, now_s\n",
        new="            return at, now_s - (self._clock.now() - at).total_seconds()\n",
        caught_by=("tests/unit/executions/test_pollers.py",),
    ),
    Mutant(
        name="a worker is taken for silent by our wall clock",
        file="runner/managed_worker.py",
        old="        return now - self.accessed_s\n",
        new="        return now - accessed_at.timestamp()\n",
        caught_by=("tests/unit/runner/test_managed_worker.py",),
    ),
    Mutant(
        name="a lease follows the wall clock",
        file="executions/reconcile/lease.py",
        old="NEVER + timedelta(seconds=clock.monotonic())",
        new="clock.now()",
        caught_by=("tests/integration/executions/reconcile/test_lease.py",),
    ),
    Mutant(
        name="a jump of the clock goes unnoticed",
        file="clock.py",
        old="        if not jump.is_set and slept_s",
        new="        if slept_s",
        caught_by=("tests/unit/test_clock.py",),
    ),
)
