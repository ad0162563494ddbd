"""The workflows of a chaos run: documents whose calls are known by their steps, and whose output is known in advance.

Their tasks need nothing outside but the ledger: the tool server takes PUT, which may be repeated, and POST, which must
take effect once, and a command of the shell appends its line itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stigmer_cli.api.workflows import WorkflowManifest
from stigmer_cli.domain.step import Effect

COMMUNICATION = {"errors": {"with": {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication"}}}
RETRIES_MAX = 200
"""A tool server may be away for as long as a fault lasts, and another one may follow at once."""

SHELL = (
    r"""key=$(printf 'stigmer-step\0%s\0%s' "$1" "$2" | sha256sum | cut -c1-32); """
    r"""printf '{"tool": "shell", "text": "%s", "key": "%s", "at_s": 0.0}\n' "$3" "$key" >> "$4"; """
    r"""sleep 0.3; printf 'shell %s' "$3" """
)
"""Appends a line, in one write, under the key that a call would have, and is at work for a moment after it."""


@dataclass(frozen=True, kw_only=True)
class WorkflowCall:
    """A call with a text that no other call of the document has. `name` is that of its step.

    `is_tried`: a failure of it is caught, so that its step may be FAILED.
    """

    tool: str
    text: str
    effect: Effect
    name: str
    is_tried: bool = False
    is_optional: bool = False

    @property
    def answer(self) -> str:
        """What comes back."""
        return f"{self.tool} {self.text}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A task, and its calls by the rest of the key of their steps. `gives` is what it leaves in the context."""

    name: str
    task: Mapping[str, Any]
    calls: Mapping[str, WorkflowCall]
    gives: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChaosWorkflow:
    """A workflow: its parts, one after another."""

    name: str
    parts: Sequence[Part]

    @property
    def calls(self) -> Mapping[str, WorkflowCall]:
        """All calls by the key of their step."""
        return {
            f"/do/{number}/{part.name}{rest}": call
            for number, part in enumerate(self.parts)
            for rest, call in part.calls.items()
        }

    def output(self, order: str) -> Mapping[str, Any]:
        """What an execution with that input must give."""
        given: dict[str, Any] = {"order": order}
        for part in self.parts:
            given |= {key: order if value == ORDER_OF else value for key, value in part.gives.items()}
        return given

    def manifest(self, ledger: Path, url: str) -> WorkflowManifest:
        """The document; `url` is where the tool server takes effects, which it writes into `ledger`."""
        tasks = [{part.name: part.task} for part in self.parts]
        about = {"dsl": "1.0.3", "namespace": "chaos", "name": self.name, "version": "1.0.0"}
        document = {"document": about, "do": tasks, "output": {"as": "$context"}}
        return WorkflowManifest.model_validate({"spec": _fill(document, {"URL": url, "LEDGER": str(ledger)})})


ORDER_OF = "the order of the execution"
"""Stands for the input, in what a part gives."""


def _fill(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, words) for item in value]
    return words.get(value, value) if isinstance(value, str) else value


def http(method: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"call": "http", "with": {"method": method, "endpoint": "URL", "body": {"text": text, **more}}}


def kept(key: str) -> dict[str, Any]:
    """The output of the task goes into the context."""
    return {"as": f"${{ $context + {{{key}: .}} }}"}


def put(name: str, text: str, *, is_refused: bool = False, delay: str = "PT1S") -> Part:
    """PUT until it succeeds. `is_refused`: the service refuses the first try, once it has taken effect."""
    call = WorkflowCall(tool="put", text=text, effect=Effect.REPEATABLE, name="ask: http", is_tried=True)
    ask = {**http("put", text, refuses=is_refused), "output": {"as": ".said"}}
    retry = {"delay": delay, "limit": {"attempt": {"count": RETRIES_MAX}}}
    task = {"try": [{"ask": ask}], "catch": {**COMMUNICATION, "retry": retry}, "export": kept(name)}
    return Part(name=name, task=task, calls={"/try/0/ask": call}, gives={name: call.answer})


def post(name: str, text: str, seconds: float = 0.0, *, is_optional: bool = False) -> Part:
    """POST once; where no answer comes, it goes on."""
    call = WorkflowCall(
        tool="post", text=text, effect=Effect.ONCE, name="ask: http", is_tried=True, is_optional=is_optional
    )
    task = {
        "try": [{"ask": http("post", text, seconds=seconds)}],
        "catch": {**COMMUNICATION, "do": [{"gone": {"set": {"gone": True}}}]},
        "output": {"as": '${ "asked" }'},
        "export": kept(name),
    }
    return Part(name=name, task=task, calls={"/try/0/ask": call}, gives={name: "asked"})


def shell(number: int, name: str, text: str) -> Part:
    call = WorkflowCall(tool="shell", text=text, effect=Effect.ONCE, name=f"{name}: shell")
    arguments = ["${ $workflow.id }", f"/do/{number}/{name}", text, "LEDGER"]
    task = {
        "run": {"shell": {"command": SHELL, "arguments": arguments}},
        "output": {"as": '${ "ran" }'},
        "export": kept(name),
    }
    return Part(name=name, task=task, calls={"": call}, gives={name: "ran"})


def fork(name: str, branches: Sequence[Part], *, competes: bool = False) -> Part:
    """All branches; if they compete, the output is the same whoever wins, and nothing is left in the context."""
    tasks = [{part.name: dict(part.task)} for part in branches]
    calls = {
        f"/fork/branches/{number}/{part.name}{rest}": call
        for number, part in enumerate(branches)
        for rest, call in part.calls.items()
    }
    if not competes:
        gives = {key: value for part in branches for key, value in part.gives.items()}
        return Part(name=name, task={"fork": {"branches": tasks}}, calls=calls, gives=gives)
    for part, task in zip(branches, tasks, strict=True):
        task[part.name].pop("export", None)
    task = {"fork": {"compete": True, "branches": tasks}, "output": {"as": '${ "raced" }'}, "export": kept(name)}
    return Part(name=name, task=task, calls=calls, gives={name: "raced"})


def cut(name: str, text: str, seconds: float, *, after: str) -> Part:
    """POST that a timeout cuts off, most of the time."""
    call = WorkflowCall(tool="post", text=text, effect=Effect.ONCE, name="ask: http", is_tried=True, is_optional=True)
    task = {
        "try": [{"ask": {**http("post", text, seconds=seconds), "timeout": {"after": after}}}],
        "catch": {"do": [{"gone": {"set": {"gone": True}}}]},
        "output": {"as": '${ "over" }'},
        "export": kept(name),
    }
    return Part(name=name, task=task, calls={"/try/0/ask": call}, gives={name: "over"})


def do(name: str, parts: Sequence[Part]) -> Part:
    """One part after another."""
    calls = {
        f"/do/{number}/{part.name}{rest}": call
        for number, part in enumerate(parts)
        for rest, call in part.calls.items()
    }
    gives = {key: value for part in parts for key, value in part.gives.items()}
    return Part(name=name, task={"do": [{part.name: part.task} for part in parts]}, calls=calls, gives=gives)


def plain(name: str, task: Mapping[str, Any], **gives: Any) -> Part:
    return Part(name=name, task=task, calls={}, gives=gives)


def wait(name: str, length: str) -> Part:
    return plain(name, {"wait": length})


def each(name: str, texts: Sequence[str]) -> Part:
    """PUT for each of them."""
    inner = put("add", "")
    task = {
        "for": {"each": "item", "in": "$context.items"},
        "do": [{"add": {key: value for key, value in inner.task.items() if key != "export"}}],
    }
    task["do"][0]["add"]["try"][0]["ask"]["with"]["body"]["text"] = "${ $item }"  # type: ignore[index]
    calls = {
        f"/for/{number}/do/0/add/try/0/ask": WorkflowCall(
            tool="put", text=text, effect=Effect.REPEATABLE, name="ask: http", is_tried=True
        )
        for number, text in enumerate(texts)
    }
    return Part(name=name, task=task, calls=calls, gives={})


EVENT = {
    "source": "https://chaos.example/orders",
    "type": "chaos.told",
    "subject": "${ $context.order }",
    "data": {"order": "${ $context.order }"},
}
HEARD = {"one": {"with": {"type": "chaos.told", "subject": "${ $context.order }"}}}

ORDER = ChaosWorkflow(
    name="order",
    parts=[
        plain("begin", {"set": {"items": ["x", "y"]}, "export": {"as": "${ $context + . }"}}, items=["x", "y"]),
        plain(
            "decide", {"switch": [{"two": {"when": ".items | length == 2", "then": "book"}}, {"no": {"then": "end"}}]}
        ),
        plain("never", {"set": {"never": True}, "export": {"as": "${ $context + . }"}}),
        put("book", "a"),
        post("pay", "b"),
        each("pack", ["x", "y"]),
        fork("both", [put("left", "c"), post("right", "d", 0.2)]),
        plain("tell", {"emit": {"event": {"with": EVENT}}}),
        plain(
            "hear",
            {"listen": {"to": HEARD}, "output": {"as": "${ .[0].order }"}, "export": kept("heard")},
            heard=ORDER_OF,
        ),
        wait("pause", "PT2S"),
        shell(10, "run", "e"),
        put("close", "f", is_refused=True),
    ],
)
REMINDER = ChaosWorkflow(
    name="reminder",
    parts=[
        post("first", "a"),
        wait("long", "PT7S"),
        put("again", "b", is_refused=True, delay="PT6S"),
        post("last", "c", 0.3),
    ],
)
"""Ends its attempt to wait, twice."""

RACE = ChaosWorkflow(
    name="race",
    parts=[
        fork("race", [post("slow", "a", 1.0, is_optional=True), wait("fast", "PT0.4S")], competes=True),
        cut("cut", "d", 3.0, after="PT0.6S"),
        fork("twins", [post("one", "b", 0.4), post("two", "c", 0.4)]),
    ],
)
"""Cuts off what must happen once, and does two such things at a time."""

MIXTURE = ChaosWorkflow(
    name="mixture",
    parts=[
        fork(
            "all",
            [
                do("sleeper", [wait("doze", "PT6S"), post("woke", "a")]),
                do("caller", [post("ask", "b", 0.5), wait("nap", "PT1S"), post("more", "c", 0.3)]),
                plain(
                    "listener",
                    {"listen": {"to": HEARD}, "output": {"as": "${ .[0].order }"}, "export": kept("heard")},
                    heard=ORDER_OF,
                ),
                do("teller", [wait("hush", "PT2S"), plain("tell", {"emit": {"event": {"with": EVENT}}})]),
            ],
        ),
        put("close", "d"),
    ],
)
"""Its branches wait, listen and call at the same time."""

WORKFLOWS: Mapping[str, ChaosWorkflow] = {workflow.name: workflow for workflow in (ORDER, REMINDER, RACE, MIXTURE)}
WORKFLOW_WEIGHTS: Mapping[str, float] = {ORDER.name: 0.4, REMINDER.name: 0.2, RACE.name: 0.2, MIXTURE.name: 0.2}
"""How often each is asked for."""
