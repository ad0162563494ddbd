"""What a coding agent is told of an execution with a long timeline."""

from collections.abc import Sequence

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import EventBody
from stigmer_cli.cli.mcp.reading import EVENTS_TOLD_MAX, detail_of
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from tests.support.execution_rows import row
from tests.support.fakes import START


def timeline(*types: EventType) -> Sequence[EventBody]:
    return [EventBody(seq=seq, at=START, type=type_, text=str(seq)) for seq, type_ in enumerate(types, 1)]


def test_however_many_pieces_an_answer_has_the_end_is_told() -> None:
    pieces = [EventType.MESSAGE] * 2 * EVENTS_TOLD_MAX
    found = detail_of(
        execution_resource(row(Phase.COMPLETED)), timeline(EventType.ACCEPTED, *pieces, EventType.COMPLETED)
    )
    assert [event.type for event in found.events] == [EventType.ACCEPTED, EventType.COMPLETED]


def test_of_a_long_timeline_the_last_events_are_told() -> None:
    last = 2 * EVENTS_TOLD_MAX
    found = detail_of(execution_resource(row()), timeline(*[EventType.CLAIMED] * last))
    assert [event.text for event in found.events] == [str(seq) for seq in range(last - EVENTS_TOLD_MAX + 1, last + 1)]
