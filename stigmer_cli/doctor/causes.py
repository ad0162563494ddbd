"""Which fault is reported first: a cause before its effects.

The order follows from what each check needs. Where a fault makes another check fail that can be judged without it, the
two are listed here.
"""

from collections.abc import Mapping, Sequence

from stigmer_cli.doctor.check import Check

MAY_MAKE_FAIL: Mapping[str, tuple[str, ...]] = {
    "STG101": ("STG509",),
    "STG104": ("STG102", "STG111", "STG129", "STG302", "STG103", "STG203", "STG112", "STG117"),
    "STG105": ("STG104",),
    "STG106": ("STG104",),
    "STG107": ("STG104", "STG303", "STG205", "STG204", "STG206", "STG212"),
    "STG207": ("STG119",),
    "STG403": ("STG207",),
}
"""By check, the checks whose faults make it fail although it does not need them; reported in this order.

A home takes no writes when its file system does not. The stack does not start without room on its disk, room under the
limits of open files and of threads, its store, its ports, Temporal, a program for it, and its database; no part lives
without the supervisor. A runner ends, or has nothing to do, while its server cannot use the database or Temporal. One
that hangs does not poll.
"""

IGNORED = frozenset({("STG201", "STG105")})
"""The needs that say nothing about the order: a Temporal that somebody else runs comes before the stack.

The stack's own Temporal is asked only once its process is well, so the two never fail together.
"""


def causes_first(checks: Sequence[Check]) -> tuple[str, ...]:
    """The codes of all `checks` that make others fail, each before those; all others come after these, by code."""
    causes = {check.code: _causes_of(check) for check in checks}
    order: dict[str, None] = {}

    def place(code: str) -> None:
        if code not in order:
            for cause in causes[code]:
                place(cause)
            order[code] = None

    for code in (*MAY_MAKE_FAIL, *sorted(causes)):
        place(code)
    are_causes = {cause for found in causes.values() for cause in found}
    return tuple(code for code in order if code in are_causes)


def _causes_of(check: Check) -> tuple[str, ...]:
    needs = tuple(need for need in check.needs if (check.code, need) not in IGNORED)
    return (*MAY_MAKE_FAIL.get(check.code, ()), *needs)
