"""All checks there are, and which of them a person asked for."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from stigmer_cli.doctor.access import ACCESS_CHECKS
from stigmer_cli.doctor.check import Category, Check
from stigmer_cli.doctor.clocks import CLOCK_CHECKS
from stigmer_cli.doctor.configuration import CONFIGURATION_CHECKS
from stigmer_cli.doctor.executions import EXECUTION_CHECKS
from stigmer_cli.doctor.given import GIVEN_CHECKS
from stigmer_cli.doctor.network import NETWORK_CHECKS, elsewhere_found
from stigmer_cli.doctor.ownership import FIRST, OWNERSHIP_CHECKS
from stigmer_cli.doctor.pages import PAGES_CHECKS
from stigmer_cli.doctor.runner_server import RUNNER_SERVER_CHECKS
from stigmer_cli.doctor.servers import SERVER_CHECKS
from stigmer_cli.doctor.stack import STACK_CHECKS
from stigmer_cli.doctor.store import STORE_CHECKS
from stigmer_cli.doctor.stuck import STUCK_CHECKS
from stigmer_cli.doctor.temporal import TEMPORAL_CHECKS
from stigmer_cli.errors import NotFound, RequestError

SETTINGS = "STG501"
"""While settings cannot be read, nothing else is judged; nor are they read in a home that cannot be trusted."""

LIST = "stigmer doctor --list-checks"


def _behind_settings(check: Check) -> Check:
    if check.code in FIRST:
        return check
    return replace(check, needs=(FIRST if check.code == SETTINGS else (SETTINGS, *check.needs)))


def _of_that_server(check: Check) -> Check:
    """`check`, silent about this machine where the server is on another one."""
    return replace(check, probe=partial(elsewhere_found, check))


CHECKS: tuple[Check, ...] = tuple(
    _behind_settings(_of_that_server(check))
    for check in sorted(
        (
            *STACK_CHECKS,
            *GIVEN_CHECKS,
            *RUNNER_SERVER_CHECKS,
            *ACCESS_CHECKS,
            *PAGES_CHECKS,
            *CLOCK_CHECKS,
            *TEMPORAL_CHECKS,
            *STORE_CHECKS,
            *SERVER_CHECKS,
            *EXECUTION_CHECKS,
            *STUCK_CHECKS,
            *CONFIGURATION_CHECKS,
            *OWNERSHIP_CHECKS,
            *NETWORK_CHECKS,
        ),
        key=lambda check: list(Category).index(check.category),
    )
)
BY_CODE: dict[str, Check] = {check.code: check for check in CHECKS}


def named(words: Sequence[str]) -> frozenset[str]:
    """The codes that `words` mean: codes, or categories for all of theirs. Raises RequestError for any other."""
    found: set[str] = set()
    for word in words:
        matching = {check.code for check in CHECKS if word.upper() in (check.code, check.category.upper())}
        if not matching:
            raise RequestError(f"there is no check {word!r}{_nearest(word)}", hint=LIST)
        found |= matching
    return frozenset(found)


def chosen(*, only: frozenset[str], skip: frozenset[str]) -> tuple[Check, ...]:
    """What to run: `only` with all that they need (all where it is empty), without `skip`."""
    wanted = _with_needs(only) if only else frozenset(BY_CODE)
    return tuple(check for check in CHECKS if check.code in wanted - skip)


def check_called(code: str) -> Check:
    """The check with this code; raises NotFound."""
    found = BY_CODE.get(code.upper())
    if found is None:
        raise NotFound(f"there is no check {code!r}{_nearest(code)}", hint=LIST)
    return found


def _with_needs(codes: frozenset[str]) -> frozenset[str]:
    found = codes
    while True:
        wider = found | {need for code in found for need in BY_CODE[code].needs}
        if wider == found:
            return found
        found = wider


def _nearest(word: str) -> str:
    close = difflib.get_close_matches(word.upper(), [*BY_CODE, *(category.upper() for category in Category)], n=1)
    return f"; did you mean {close[0]}?" if close else ""
