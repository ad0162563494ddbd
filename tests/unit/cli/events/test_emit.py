"""What `stigmer events emit` says of an event, and for which execution it sends it."""

from pathlib import Path

import pytest

from stigmer_cli.api.cloud_events import PublishedEvent
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.events.emit import EventOptions, _describe, make_event
from stigmer_cli.domain.event import EMITTED_BY, EXECUTION_VARIABLE

NEW = PublishedEvent(id="81", source="/github", is_new=True)


@pytest.mark.parametrize(
    ("sent", "takers", "words"),
    [
        (NEW, (0, 0), "event 81 taken; nobody listens for it now, and it starts nothing"),
        (NEW, (2, 0), "event 81 taken; executions: 2 went on"),
        (NEW, (1, 3), "event 81 taken; executions: 1 went on, 3 started"),
        (NEW, (None, None), "event 81 taken"),
        (NEW, None, "event 81 taken"),
        (NEW.model_copy(update={"is_new": False}), (0, 0), "event 81 was taken before, and not again"),
    ],
)
def test_it_says_whether_anybody_took_the_event(
    sent: PublishedEvent, takers: tuple[int | None, int | None] | None, words: str
) -> None:
    assert _describe(sent, takers) == words


def test_what_a_task_runs_sends_its_event_for_the_execution_unless_it_says_another(tmp_path: Path) -> None:
    options = EventOptions(type="review", source="/here")
    outside = Cli(environ={}, user_home=tmp_path)
    inside = Cli(environ={EXECUTION_VARIABLE: "wex-1"}, user_home=tmp_path)
    other = EventOptions(type="review", source="/here", extensions=(f"{EMITTED_BY}=wex-2",))
    events = [make_event(outside, options), make_event(inside, options), make_event(inside, other)]
    assert [event.get(EMITTED_BY) for event in events] == [None, "wex-1", "wex-2"]
