"""All checks, and the selection of those that a person asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import ModuleType

from stigmer_cli.doctor.causes import causes_first
from stigmer_cli.doctor.check import Category, Check
from stigmer_cli.doctor.checks import (
    access,
    clocks,
    configuration,
    executions,
    home,
    installation,
    machine,
    network,
    ownership,
    parts,
    runner_server,
    server,
    servers,
    stack,
    started_settings,
    store,
    task_queue,
    temporal,
    temporal_service,
    web_page_access,
)
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.nearest import suggest_nearest

MODULES: tuple[ModuleType, ...] = (
    home,
    stack,
    parts,
    server,
    installation,
    machine,
    started_settings,
    runner_server,
    access,
    web_page_access,
    clocks,
    temporal,
    task_queue,
    temporal_service,
    store,
    servers,
    executions,
    configuration,
    ownership,
    network,
)
"""The modules with checks, in the order in which these are listed."""

SETTINGS = "STG501"
"""While settings cannot be read, nothing else is judged; in a home that cannot be trusted they are not read."""

LIST = "stigmer doctor --list-checks"


def _checks_in(module: ModuleType) -> list[Check]:
    """The checks that are defined in `module`, in their order there."""
    found = [one for one in vars(module).values() if isinstance(one, Check)]
    return [check for check in found if check.probe.__module__ == module.__name__]


def _behind_settings(checks: Iterable[Check]) -> tuple[Check, ...]:
    """`checks`, each but those that the settings need themselves made to need the settings."""
    found = tuple(checks)
    first = {SETTINGS}.union(*(check.needs for check in found if check.code == SETTINGS))
    return tuple(check if check.code in first else replace(check, needs=(SETTINGS, *check.needs)) for check in found)


CHECKS = _behind_settings(
    sorted(
        (check for module in MODULES for check in _checks_in(module)),
        key=lambda check: list(Category).index(check.category),
    )
)
BY_CODE: dict[str, Check] = {check.code: check for check in CHECKS}
CAUSES_FIRST = causes_first(CHECKS)


def find_codes(words: Sequence[str]) -> frozenset[str]:
    """The codes that `words` name, each a code or a category; raises RequestError for any other word."""
    found: set[str] = set()
    for word in words:
        matching = {check.code for check in CHECKS if word.upper() in (check.code, check.category.upper())}
        if not matching:
            raise RequestError(f"there is no check {word!r}{_nearest(word)}", hint=LIST)
        found |= matching
    return frozenset(found)


def choose_checks(*, only: frozenset[str], skip: frozenset[str]) -> tuple[Check, ...]:
    """The checks to run: `only` with all that they need (every check where it is empty), without `skip`."""
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
    return suggest_nearest(word.upper(), BY_CODE) or suggest_nearest(word.capitalize(), Category)
