"""What the server is told of the events that a task listens for."""

import pytest

from stigmer_cli.domain.event import EventQuery
from stigmer_cli.runner.listening import make_listeners, tell_queries
from stigmer_cli.secret_values import SecretValues
from stigmer_cli.workflow.runtime import Listening


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    values = SecretValues()
    values.remember("pass-word-1")
    monkeypatch.setattr("stigmer_cli.runner.listening.DELIVERED", values)


def test_what_holds_a_secret_is_not_told_so_that_the_runner_compares_it() -> None:
    """A value that was taken out of it would fit no event."""
    query = EventQuery(
        type="paid",
        source="/shops/pass-word-1",
        subject="17",
        equals=((("data", "token"), "Bearer pass-word-1"), (("data", "order"), "17")),
    )
    listening = Listening(key="/do/0/a", queries=(query,), after=3)
    [told] = tell_queries([query])
    assert (told.type, told.source, told.subject) == ("paid", None, "17")
    assert [(place.path, place.text) for place in told.equals] == [(["data", "order"], "17")]
    assert [one.queries for one in make_listeners([listening])] == [[told]]
