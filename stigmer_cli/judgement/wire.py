"""What was judged, as it goes over the wire: of one execution, and by class of many."""

from collections.abc import Sequence

from stigmer_cli.api.stuck import StuckBody, StuckGroup
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass, way_out_of_all
from stigmer_cli.judgement.stuck import Stuck

IDS_MAX = 20


def stuck_body(one: Stuck) -> StuckBody:
    """Why it is stuck, and the way out."""
    return StuckBody(kind=one.kind, cause=one.cause, since=one.since, hint=one.hint)


def stuck_groups(found: Sequence[Stuck]) -> list[StuckGroup]:
    """By class and phase, and by whether they continue without help; each group, and the groups, oldest first."""
    by_class: dict[tuple[StuckClass, Phase, bool], list[Stuck]] = {}
    for one in sorted(found, key=lambda one: one.execution.created_at):
        by_class.setdefault((one.kind, one.execution.phase, one.passes), []).append(one)
    return [_group(alike) for alike in by_class.values()]


def _group(alike: Sequence[Stuck]) -> StuckGroup:
    first, ids = alike[0], [one.execution.id for one in alike]
    found = way_out_of_all(first.kind, ids, first.execution.phase, passes=first.passes)
    return StuckGroup(
        kind=first.kind,
        phase=first.execution.phase,
        passes=first.passes,
        count=len(alike),
        ids=list(ids[:IDS_MAX]),
        oldest_at=first.execution.created_at,
        since=min(one.since for one in alike),
        cause=first.cause,
        commands=[first.command] if first.command else list(found.commands),
    )
