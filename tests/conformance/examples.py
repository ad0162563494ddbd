"""The examples of the specification: each is checked, and runs where its hosts, its events and its programs can be had.

They run in this process, as `stigmer workflows test` runs a workflow. The hosts are an HTTP transport that answers by
itself, and time passes at once.
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from stigmer_cli.cli.workflows.local_world import LocalWorld
from stigmer_cli.domain.event import CloudEvent
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.process import USUAL_PATH
from stigmer_cli.workflow.document import Rejected, Workflow, read_workflows
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import find_unsupported, interpret
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts
from tests.conformance.hosts import PETS, SWAGGER
from tests.support.fakes import ManualClock

RUN_MAX_S = 10.0
COMPLETED, NOT_RUN_OUTCOME = "completed", "not run"
PERSON = {"name": "Luke Skywalker", "homeworld": "https://swapi.dev/api/planets/1/"}
CONTAINER = "needs docker or podman"
BROKER = "needs a broker that the document of fake.com would name"
GIVEN: Mapping[str, Json] = {
    "petId": 1,
    "id": 1,
    "carId": 7,
    "token": "token",
    "searchQuery": "luke",
    "orderType": "physical",
    "customer": {"age": 30},
    "bet": {"amount": 5},
    "patient": {"fullName": "Jane Doe"},
    "room": {"number": 3},
    "pets": [{"id": 1}],
    "vet": "Dr. Fake",
}
"""The input of every example but those of `STARTED`: each takes of it what it knows."""

NOT_RUN: Mapping[str, str] = {
    "call-asyncapi-publish": BROKER,
    "call-asyncapi-subscribe-consume-amount": BROKER,
    "call-asyncapi-subscribe-consume-forever-foreach": BROKER,
    "call-asyncapi-subscribe-consume-until": BROKER,
    "call-asyncapi-subscribe-consume-while": BROKER,
    "call-grpc": "needs the file app/greet.proto, and its server",
    "call-mcp": "starts a program from npm, with a token of Slack",
    "listen-to-any-forever-foreach": "listens for ever",
    "run-container": CONTAINER,
    "run-container-cleanup-always": CONTAINER,
    "run-container-cleanup-eventually": CONTAINER,
    "run-container-stdin-and-arguments": CONTAINER,
    "run-container-with-name": CONTAINER,
    "run-container-with-pull-policy": CONTAINER,
    "run-return-all": CONTAINER,
    "run-return-code": CONTAINER,
    "run-return-none": CONTAINER,
    "run-return-stderr": CONTAINER,
    "run-subflow": "needs a stack, on which the other workflow runs",
}
"""The examples that are only checked, and why."""

if shutil.which("node", path=USUAL_PATH) is None:
    NOT_RUN = {**NOT_RUN, "run-script-with-stdin-and-arguments": "needs node"}

FAULTS: Mapping[str, tuple[str, str]] = {
    "accumulate-room-readings": ("expression", "it reads .data of what listen gives, a list"),
    "for": ("expression", "it reads .pets of what listen gives, a list"),
    "mock-service-extension": ("expression", "it asks startswith of an endpoint that is an object"),
    "raise-inline": ("not-implemented", "it raises that error"),
    "raise-reusable": ("not-implemented", "it raises that error"),
}
"""The examples that end with an error: the end of its type, and why."""


def _event(type_: str, source: str = "https://example.com", data: Json = None, **attributes: Json) -> CloudEvent:
    return {"specversion": "1.0", "id": f"{type_}-1", "type": type_, "source": source, "data": data, **attributes}


EVENTS: Sequence[CloudEvent] = (
    _event("com.fake-hospital.vitals.measurements.temperature", data={"temperature": 39}),
    _event("com.fake-hospital.vitals.measurements.bpm", data={"bpm": 120}),
    _event("com.fake-hospital.patient.checked-out"),
    _event("com.virtual-wf-powered-race.events.race.started.v1"),
    _event("com.fake.petclinic.pets.checkup.completed.v2"),
    _event("my.home.sensors.temperature", "https://my.home.com/sensor", {"reading": 21}, roomid="kitchen"),
    _event("my.home.sensors.humidity", "https://my.home.com/sensor", {"reading": 60}, roomid="kitchen"),
)
STARTED: Mapping[str, CloudEvent] = {
    "schedule-event-driven": _event(
        "com.example.hospital.events.patients.heartbeat.low",
        data={"patient": {"id": 1, "name": "Jane Doe", "room": {"number": 3}, "vitals": {"bpm": 30}}, "timestamp": 0},
    ),
    "set": _event("io.serverlessworkflow.samples.events.trigger.v1", data={}),
    "set-expression": _event("io.serverlessworkflow.samples.events.trigger.v1", data={}),
}
"""The event that starts an example, which is then its input, in a list."""

SECRETS: Mapping[str, Json] = {
    "mySecret": {
        "authority": "http://keycloak/realms/fake-authority",
        "grant": "client_credentials",
        "client": {"id": "workflow-runtime-id", "secret": "workflow-runtime-secret"},
    }
}
FUNCTION = "set: {logged: '${ .message }'}"
"""A function of the catalog, in place of one that writes to a log."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """What became of an example. `outcome`: `completed`, `faulted: TYPE`, `not run`; `remark`: why that is so."""

    name: str
    problems: Sequence[str] = ()
    outcome: str = ""
    remark: str = ""

    @property
    def verdict(self) -> str:
        """`pass`, `FAIL`, or `-` where it did not run."""
        return ("-" if self.outcome == NOT_RUN_OUTCOME else "pass") if self.is_well else "FAIL"

    @property
    def is_well(self) -> bool:
        """Whether it is valid, and ended as it has to if it ran."""
        if self.problems:
            return False
        if self.name in NOT_RUN:
            return self.outcome == NOT_RUN_OUTCOME
        return self.outcome == (f"faulted: {FAULTS[self.name][0]}" if self.name in FAULTS else COMPLETED)


class _HurriedClock(ManualClock):
    """Time that passes at once where somebody waits for it."""

    async def sleep(self, delay_s: float) -> None:
        self.move(delay_s)
        await asyncio.sleep(0)


def _answer(request: httpx.Request) -> httpx.Response:
    host, path = request.url.host, request.url.path
    if host == "keycloak" and path.endswith("/.well-known/openid-configuration"):
        return httpx.Response(200, json={"token_endpoint": "http://keycloak/token"})
    if host == "keycloak":
        return httpx.Response(200, json={"access_token": "token", "token_type": "Bearer", "expires_in": 60})
    if host == "petstore.swagger.io":
        return _answer_pets(path)
    if host == "raw.githubusercontent.com":
        return httpx.Response(200, text=FUNCTION)
    if host == "swapi.dev":
        return httpx.Response(200, json={"name": "Tatooine"} if "planets" in path else PERSON)
    return httpx.Response(200, json={"host": host})


def _answer_pets(path: str) -> httpx.Response:
    if path == "/v2/swagger.json":
        return httpx.Response(200, json=SWAGGER)
    if path == "/v2/pet/findByStatus":
        return httpx.Response(200, json=list(PETS.values()))
    return httpx.Response(200, json=PETS[1])


def run_examples(folder: Path) -> Sequence[Example]:
    """Each example in `folder`, by name."""
    return asyncio.run(_run_texts({file.stem: file.read_text() for file in sorted(folder.glob("*.yaml"))}))


async def _run_texts(texts: Mapping[str, str]) -> Sequence[Example]:
    evaluator = Evaluator()
    try:
        return [await _run_example(name, text, evaluator) for name, text in texts.items()]
    finally:
        await evaluator.close()


def find_forgotten(examples: Sequence[Example]) -> Sequence[str]:
    """The names in the tables above that no example has."""
    return sorted({*NOT_RUN, *FAULTS, *STARTED} - {example.name for example in examples})


async def _run_example(name: str, text: str, evaluator: Evaluator) -> Example:
    read = list(read_workflows(f"{name}.yaml", text))
    problems = [line for one in read if isinstance(one, Rejected) for line in one.problems]
    workflows = [one for one in read if isinstance(one, Workflow)]
    if problems or len(workflows) != 1:
        return Example(name=name, problems=problems or [f"{name}.yaml holds {len(workflows)} workflows"])
    if name in NOT_RUN:
        return Example(name=name, outcome=NOT_RUN_OUTCOME, remark=NOT_RUN[name])
    try:
        async with asyncio.timeout(RUN_MAX_S):
            return await _run(workflows[0], name, evaluator)
    except TimeoutError:
        return Example(name=name, outcome=f"not ended within {RUN_MAX_S:.0f} s")


async def _run(workflow: Workflow, name: str, evaluator: Evaluator) -> Example:
    clock = _HurriedClock()
    world = LocalWorld(clock, lambda _record: None, events=EVENTS, has_timeouts=False)
    facts = ExecutionFacts(id="wex-example", started_ms=world.now_ms(), runtime_version="0", secrets=SECRETS)
    given = cast("Json", [STARTED[name]] if name in STARTED else GIVEN)
    async with httpx.AsyncClient(transport=httpx.MockTransport(_answer)) as client:
        functions = make_functions(client, clock)
        if problems := find_unsupported(workflow, functions):
            return Example(name=name, outcome="refused", remark=problems[0].text)
        try:
            await interpret(workflow, given, facts=facts, world=world, functions=functions, evaluator=evaluator)
        except WorkflowError as error:
            _, why = FAULTS.get(name, ("", str(error.fields.get("detail"))))
            return Example(name=name, outcome=f"faulted: {str(error.fields['type']).rpartition('/')[2]}", remark=why)
        except ConfigError as error:
            return Example(name=name, outcome="refused", remark=error.message)
    return Example(name=name, outcome=COMPLETED)
