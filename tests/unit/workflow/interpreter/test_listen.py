"""The task listen: which events it takes, in which order, and that a replay takes the same ones."""

import random
import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from stigmer_cli.domain.event import check_event
from stigmer_cli.workflow.error import ErrorType, WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Waits
from tests.support.workflows import STARTED_MS, Crash, MemoryWorld
from tests.support.workflows import run_text as run_whole


def event(number: int, type_: str = "a", data: Json = None, **attributes: Json) -> Mapping[str, Json]:
    made: Any = {"specversion": "1.0", "id": f"{number}", "source": "/s", "type": type_, "data": data, **attributes}
    return dict(check_event(made))  # type: ignore[arg-type]


async def run_text(evaluator: Evaluator, text: str, given: Json = None, *, world: MemoryWorld) -> Json:
    return await run_whole(evaluator, textwrap.dedent(text).lstrip(), given, world=world)


def world(*events: Mapping[str, Json]) -> MemoryWorld:
    made = MemoryWorld(is_patient=False)
    made.incoming = list(events)
    return made


def temperatures(*values: int, type_: str = "a") -> list[Mapping[str, Json]]:
    return [event(number, type_, {"t": value}) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param("one: {with: {type: a}}", [{"t": 1}], id="one"),
        pytest.param("any: [{with: {type: b}}, {with: {type: a, data: '${ .t > 2 }'}}]", [{"t": 3}], id="any"),
        pytest.param("any: []", [{"t": 1}], id="any of all"),
        pytest.param("all: [{with: {type: b}}, {with: {type: a}}]", [{"t": 1}, {"t": 9}], id="all, as they came"),
        pytest.param("all: []", [], id="all of none"),
        pytest.param("one: {with: {type: a, data: {t: '${ .wanted }'}}}", [{"t": 4}], id="data as an object"),
        pytest.param("one: {with: {type: '[b-z]'}}", [{"t": 9}], id="a regular expression"),
        pytest.param("one: {with: {source: /s, id: '${ .wanted - 2 }'}}", [{"t": 3}], id="an attribute by expression"),
        pytest.param("{any: [], until: '(. | length) >= 2'}", [{"t": 1}, {"t": 2}], id="until a condition"),
        pytest.param(
            "{any: [{with: {type: a}}], until: {one: {with: {type: b}}}}",
            [{"t": 1}, {"t": 2}, {"t": 3}, {"t": 4}],
            id="until an event, which is no output",
        ),
        pytest.param(
            "{any: [], until: {all: [{with: {data: {t: 2}}}, {with: {data: {t: 4}}}]}}",
            [{"t": 1}, {"t": 3}],
            id="until several events",
        ),
    ],
)
async def test_it_takes_the_events_that_it_asks_for(evaluator: Evaluator, to: str, expected: Json) -> None:
    listening = world(*temperatures(1, 2, 3, 4), event(8, "b", {"t": 9}), event(9, "c"))
    body = to if to.startswith("{") else f"{{{to}}}"
    assert await run_text(evaluator, f"do: [{{l: {{listen: {{to: {body}}}}}}}]", {"wanted": 4}, world=listening) == (
        expected
    )


async def test_an_event_of_another_shape_does_not_fit_and_is_no_fault(evaluator: Evaluator) -> None:
    listening = world(event(1, data="text"), event(2), event(3, data=[1]), event(4, data={"t": 50}))
    text = "do: [{l: {listen: {to: {one: {with: {type: a, data: '${ .t > 38 }'}}}}}}]"
    assert await run_text(evaluator, text, world=listening) == [{"t": 50}]


@pytest.mark.parametrize(("read", "expected"), [("data", {"t": 1}), ("raw", '{"t":1}'), ("envelope", event(1))])
async def test_it_reads_data_raw_data_or_the_envelope(evaluator: Evaluator, read: str, expected: Any) -> None:
    text = f"do: [{{l: {{listen: {{to: {{one: {{with: {{type: a}}}}}}, read: {read}}}}}}}]"
    found = await run_text(evaluator, text, world=world(event(1, data={"t": 1})))
    assert found == [expected | {"data": {"t": 1}} if read == "envelope" else expected]


ROOMS = """
do:
  - readings:
      listen:
        to:
          all:
            - {with: {type: temperature}, correlate: {room: {from: .roomid}}}
            - {with: {type: humidity}, correlate: {room: {from: .data.room}}}
"""


async def test_what_is_found_first_is_what_the_other_events_must_have(evaluator: Evaluator) -> None:
    found = await run_text(
        evaluator,
        ROOMS,
        world=world(
            event(0, "temperature", 17),
            event(1, "temperature", 18, roomid=7),
            event(2, "humidity", {"room": 8}),
            event(3, "humidity", {"room": "7"}),
        ),
    )
    assert found == [18, {"room": "7"}], "an event without the value, and one of another room, do not correlate"


async def test_events_that_are_correlated_are_chosen_without_an_expression(evaluator: Evaluator) -> None:
    text = """
    do: [{l: {listen: {to: {one: {with: {type: a, subject: x},
         correlate: {o: {from: .data.order.id, expect: '${ .order }'}}}}}}}]
    """
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, {"order": 12}, world=world())
    [query] = waits.value.listenings[0].queries
    assert (query.type, query.subject, query.equals) == ("a", "x", ((("data", "order", "id"), "12"),))


@pytest.mark.parametrize("sent", [12, 12.0, "12"], ids=["whole", "double", "text"])
async def test_a_whole_number_is_the_same_however_it_is_written(evaluator: Evaluator, sent: Json) -> None:
    coming = event(1, data={"order": sent})
    for wanted in (
        "with: {type: a, data: {order: '${ .order }'}}",
        "with: {type: a}, correlate: {o: {from: .data.order, expect: '${ .order }'}}",
        "with: {type: a}, correlate: {o: {from: '.data | .order', expect: '${ .order }'}}",
    ):
        text = f"do: [{{l: {{listen: {{to: {{one: {{{wanted}}}}}}}}}}}]"
        assert await run_text(evaluator, text, {"order": 12}, world=world(coming)) == [{"order": sent}], wanted


async def test_for_each_event_its_tasks_run_and_the_next_one_waits_for_them(evaluator: Evaluator) -> None:
    text = """
    do:
      - l:
          listen: {to: {any: [{with: {type: a}}], until: '(. | length) == 2'}}
          foreach:
            item: reading
            at: place
            do: [{double: {set: {twice: '${ .t * 2 }', at: '${ $place }', was: '${ $reading.t }'}}}]
            output: {as: '{twice: .twice, at: .at, was: .was}'}
            export: {as: '($context // {}) + {sum: (($context.sum // 0) + .twice)}'}
      - end: {set: {all: '${ . }', sum: '${ $context.sum }'}}
    """
    expected = {"all": [{"twice": 2, "at": 0, "was": 1}, {"twice": 10, "at": 1, "was": 5}], "sum": 12}
    assert await run_text(evaluator, text, world=world(*temperatures(1, 5, 9))) == expected


async def test_an_event_that_a_task_has_taken_is_not_for_the_next_one(evaluator: Evaluator) -> None:
    text = """
    do:
      - pets:
          for: {each: pet, in: '[1, 2]'}
          do:
            - l:
                listen: {to: {one: {with: {type: a}}}}
                output: {as: '[.[].t]'}
                export: {as: '{seen: (($context.seen // []) + .)}'}
      - before: {listen: {to: {one: {with: {type: b}}}}}
      - end: {set: {seen: '${ $context.seen }', before: '${ . }'}}
    """
    listening = world(event(1, "b", 7), *temperatures(1, 2, 3))
    assert await run_text(evaluator, text, world=listening) == {"seen": [1, 2], "before": [7]}, (
        "an event that came in before the task began to listen is there for it"
    )


async def test_branches_at_the_same_time_see_the_same_events_and_wait_for_all_they_ask_for(
    evaluator: Evaluator,
) -> None:
    text = """
    do:
      - f:
          fork:
            branches:
              - l: {listen: {to: {one: {with: {type: a}}}}}
              - r: {listen: {to: {one: {with: {type: a}}}}}
              - w: {timeout: {after: PT1H}, listen: {to: {one: {with: {type: b}}}}}
      - n: {listen: {to: {one: {with: {type: a}}}}}
    """
    listening = world()
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, world=listening)
    assert waits.value.until_ms == STARTED_MS + 3_600_000
    assert [one.queries[0].type for one in waits.value.listenings] == ["a", "a", "b"]
    listening.incoming = [event(1, "b", 1), *temperatures(1, 2)]
    assert await run_text(evaluator, text, world=listening) == [{"t": 2}]


async def test_a_timeout_around_it_ends_it_on_each_replay(evaluator: Evaluator) -> None:
    text = "do: [{l: {timeout: {after: PT1M}, listen: {to: {one: {with: {type: a}}}}}}]"
    listening = world()
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, world=listening)
    assert (waits.value.until_ms, len(waits.value.listenings)) == (STARTED_MS + 60_000, 1)
    listening.ms += 61_000
    for _ in range(2):
        with pytest.raises(WorkflowError) as failed:
            await run_text(evaluator, text, world=listening)
        assert str(failed.value.fields["type"]).endswith(ErrorType.TIMEOUT)
        listening.incoming = temperatures(1)


async def test_a_replay_takes_what_is_recorded_whatever_is_there_now(evaluator: Evaluator) -> None:
    text = "do: [{l: {listen: {to: {any: [], until: '(. | length) == 3'}}}}]"
    listening = world(*temperatures(1, 2))
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, world=listening)
    assert waits.value.listenings[0].after == 2
    listening.incoming = [event(7, "z", {"t": 70}), event(8, "z", {"t": 80}), *temperatures(3, 4)]
    assert await run_text(evaluator, text, world=listening) == [{"t": 1}, {"t": 2}, {"t": 3}]


async def test_events_that_do_not_fit_are_looked_at_once_in_a_while_and_not_each_time(evaluator: Evaluator) -> None:
    text = "do: [{l: {listen: {to: {one: {with: {type: a, data: '${ .t > 38 }'}}}}}}]"
    listening = world(*temperatures(*range(30), *range(30), *range(30), *range(30)))
    with pytest.raises(Waits):
        await run_text(evaluator, text, world=listening)
    listening.incoming[0] = event(1, data={"t": 100})
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, world=listening)
    assert (waits.value.listenings[0].after, list(listening.journal.results)) == (120, ["/do/0/l/position/0"])


SUM = """
do:
  - gather:
      listen: {to: {any: [{with: {type: a}}, {with: {type: b, data: '${ .t > 5 }'}}], until: {one: {with: {type: c}}}}}
      foreach: {do: [{keep: {set: {t: '${ .t }'}}}], export: {as: '{sum: (($context.sum // 0) + .t)}'}}
  - end: {set: {sum: '${ $context.sum }', list: '${ [.[].t] }'}}
"""


@pytest.mark.parametrize("seed", range(6))
async def test_wherever_attempts_end_and_events_come_in_the_result_is_the_same(evaluator: Evaluator, seed: int) -> None:
    rng = random.Random(seed)
    events = [event(number, rng.choice("abz"), {"t": rng.randint(0, 9)}) for number in range(12)] + [event(99, "c", {})]
    fitting = [one["data"] for one in events[:-1] if one["type"] == "a" or (one["type"] == "b" and _t(one) > 5)]
    kept: list[Any] = [data["t"] for data in fitting]  # type: ignore[index, call-overload]
    listening = world()
    for _ in range(500):
        listening.incoming = events[: len(listening.incoming) + rng.randint(0, 2)]
        listening.journal.crashes_at = rng.randint(0, 6)
        try:
            found = await run_text(evaluator, SUM, world=listening)
        except (Waits, Crash):
            continue
        assert found == {"sum": sum(kept) if kept else None, "list": kept}
        return
    pytest.fail("it never ends")


def _t(one: Mapping[str, Any]) -> int:
    return int(one["data"]["t"])
