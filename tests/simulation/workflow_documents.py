"""The workflows of the simulation: those of chaos runs, and those that only virtual time has room for.

They wait for 30 days, for other executions, and for events that come in from outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.workflow_documents import (
    MIXTURE,
    ORDER,
    RACE,
    REMINDER,
    ChaosWorkflow,
    Part,
    do,
    fork,
    kept,
    plain,
    post,
    put,
    wait,
)

DAY_S = 86_400.0
MINUTE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """So many seconds lie between the last effect of one call and the first of another.

    `repeats`: or a multiple of them, where a retry fails as well.
    """

    since: str
    until: str
    seconds: float
    repeats: bool = False


def _listen(name: str, to: Mapping[str, Any], output: str, **gives: Any) -> Part:
    return plain(name, {"listen": {"to": to}, "output": {"as": output}, "export": kept(name)}, **{name: gives[name]})


def _of(type_: str) -> Mapping[str, Any]:
    return {"with": {"type": type_, "subject": "${ $context.order }"}}


def _emit(type_: str, data: str) -> Mapping[str, Any]:
    event = {
        "source": "https://simulation.example",
        "type": type_,
        "subject": "${ $context.order }",
        "data": {"n": data},
    }
    return {"emit": {"event": {"with": event}}}


MONTH = ChaosWorkflow(
    name="month",
    parts=[
        put("before", "a"),
        wait("month", "P30D"),
        post("after", "b"),
        put("again", "c", is_refused=True, delay="PT40M"),
        post("last", "d"),
    ],
)

BRANCHES = ChaosWorkflow(
    name="branches",
    parts=[
        put("before", "a"),
        fork(
            "all",
            [
                do("sleeper", [wait("doze", "P20D"), post("woke", "b")]),
                do("caller", [post("ask", "c", 0.5), wait("nap", "PT9S"), post("more", "d", 0.3)]),
                _listen("called", {"one": _of("sim.left")}, "${ map(.n) }", called=[7]),
            ],
        ),
        put("close", "e"),
    ],
)
"""Waits in branches, for days and for an event from outside."""

FAMILY = ChaosWorkflow(
    name="family",
    parts=[
        post("first", "a"),
        fork(
            "all",
            [
                plain(
                    "grown",
                    {
                        "run": {
                            "workflow": {
                                "namespace": "chaos",
                                "name": "reminder",
                                "version": "1.0.0",
                                "input": {"order": '${ $context.order + "/child" }'},
                            }
                        },
                        "output": {"as": "${ keys }"},
                        "export": kept("grown"),
                    },
                    grown=["again", "first", "last", "order"],
                ),
                plain(
                    "helper",
                    {
                        "call": "agent",
                        "with": {"agent": "greeter", "message": '${ $context.order + " 1" }'},
                        "output": {"as": "${ type }"},
                        "export": kept("helper"),
                    },
                    helper="string",
                ),
                do("sleeper", [wait("doze", "PT6S"), post("woke", "b")]),
            ],
        ),
        plain(
            "other",
            {
                "call": "agent",
                "with": {"agent": "greeter", "message": '${ $context.order + " 2" }'},
                "output": {"as": "${ type }"},
                "export": kept("other"),
            },
            other="string",
        ),
        put("close", "c"),
    ],
)
CHILDREN: Mapping[str, Sequence[str]] = {
    FAMILY.name: ("/do/1/all/fork/branches/0/grown", "/do/1/all/fork/branches/1/helper", "/do/2/other")
}
"""The steps that wait for other executions, by workflow."""

COLLECT = ChaosWorkflow(
    name="collect",
    parts=[
        _listen(
            "taken",
            {"any": [_of("sim.item")], "until": {"one": _of("sim.end")}},
            "${ map(.n) }",
            taken=[0, 1, 2],
        ),
        _listen("both", {"all": [_of("sim.left"), _of("sim.right")]}, "${ map(.n) | sort }", both=[7, 8]),
        post("last", "a"),
    ],
)
PUBLISHED: Sequence[tuple[str, int]] = (
    ("sim.item", 0),
    ("sim.item", 1),
    ("sim.item", 2),
    ("sim.end", 3),
    ("sim.left", 7),
    ("sim.right", 8),
)
"""The events that come in for each execution, in this order, by type and number."""

ECHO = ChaosWorkflow(
    name="echo",
    parts=[
        fork(
            "all",
            [
                do(
                    "teller",
                    [
                        plain(
                            "tell",
                            {
                                "for": {"each": "n", "in": "${ [0, 1, 2] }"},
                                "do": [{"say": _emit("sim.told", "${ $n }")}, {"nap": {"wait": "PT1S"}}],
                            },
                        ),
                        plain("end", _emit("sim.over", "${ 3 }")),
                    ],
                ),
                _listen(
                    "heard",
                    {"any": [_of("sim.told")], "until": {"one": _of("sim.over")}},
                    "${ map(.n) }",
                    heard=[0, 1, 2],
                ),
            ],
        ),
        put("close", "a"),
    ],
)
"""Hears what it says itself."""

DUEL = ChaosWorkflow(
    name="duel",
    parts=[
        fork("duel", [post("slow", "a", 3.0, is_optional=True), wait("fast", "PT0.4S")], competes=True),
        wait("pause", "PT7S"),
        fork(
            "quiet",
            [
                wait("long", "PT8S"),
                plain("deaf", {"listen": {"to": {"one": _of("sim.never")}}}),
            ],
            competes=True,
        ),
        plain(
            "limited",
            {
                "try": [{"deaf": {"listen": {"to": {"one": _of("sim.never")}}, "timeout": {"after": "PT9S"}}}],
                "catch": {
                    "errors": {"with": {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"}},
                    "do": [{"late": {"set": {"late": True}}}],
                },
                "export": kept("limited"),
            },
            limited={"late": True},
        ),
        post("last", "b"),
    ],
)
"""What loses a race must neither go on nor be left open."""

REFUSAL = {"raise": {"error": {"type": "https://simulation.example/refused", "status": 409, "title": "It was refused"}}}
REFUSED = ChaosWorkflow(
    name="refused",
    parts=[
        plain(
            "caught",
            {
                "try": [{"no": REFUSAL}],
                "catch": {"errors": {"with": {"status": 409}}, "do": [{"so": {"set": {"caught": True}}}]},
                "export": kept("caught"),
            },
            caught={"caught": True},
        ),
        post("paid", "a"),
        wait("pause", "PT6S"),
        plain("fails", REFUSAL),
    ],
)
"""Fails, because it raises an error that nothing catches."""

WORKFLOWS: Mapping[str, ChaosWorkflow] = {
    workflow.name: workflow
    for workflow in (ORDER, REMINDER, RACE, MIXTURE, MONTH, BRANCHES, FAMILY, COLLECT, ECHO, DUEL, REFUSED)
}
SPANS: Mapping[str, Sequence[Span]] = {
    REMINDER.name: (Span(since="/do/0/first/try/0/ask", until="/do/2/again/try/0/ask", seconds=7.0),),
    MONTH.name: (
        Span(since="/do/0/before/try/0/ask", until="/do/2/after/try/0/ask", seconds=30 * DAY_S),
        Span(since="/do/2/after/try/0/ask", until="/do/4/last/try/0/ask", seconds=40 * MINUTE_S, repeats=True),
    ),
    BRANCHES.name: (
        Span(
            since="/do/0/before/try/0/ask",
            until="/do/1/all/fork/branches/0/sleeper/do/1/woke/try/0/ask",
            seconds=20 * DAY_S,
        ),
    ),
}
"""What a wait, or the delay of a retry, holds apart."""
