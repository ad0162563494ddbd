"""What doctor says of sockets that a web page could read."""

import sys

import pytest

from stigmer_cli.doctor.checks.web_page_access import out_of_reach
from stigmer_cli.doctor.facts.facts import PageEndpoint
from tests.unit.doctor.facts_builder import brief, healthy

CLOSED = PageEndpoint(part="server", address="127.0.0.1:7234")
METRICS = PageEndpoint(part="temporal", address="127.0.0.1:9000", given=("/metrics",))


async def test_sockets_that_give_nothing_pass() -> None:
    found = await out_of_reach(healthy(page_endpoints=(CLOSED, CLOSED)))
    assert brief(found) == ("pass", "2 sockets asked under a foreign host name, and none answers", "")


async def test_without_a_part_nothing_is_judged() -> None:
    assert (await out_of_reach(healthy(page_endpoints=()))).result == "skip"


async def test_a_socket_that_gives_something_is_named_with_what_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    found = await out_of_reach(healthy(page_endpoints=(CLOSED, METRICS)))
    assert brief(found) == (
        "warn",
        "a web page that makes its name point here can read temporal at 127.0.0.1:9000",
        "stigmer restart temporal",
    )
    assert found.evidence == {"open": [{"part": "temporal", "address": "127.0.0.1:9000", "paths": ["/metrics"]}]}


async def test_a_missing_filter_is_reported_and_needs_no_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = await out_of_reach(healthy(page_endpoints=(METRICS,)))
    assert (found.result, found.hint) == ("info", "")
