"""Requests that are answered directly are answered word for word as the long way answers them."""

import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from fastapi import FastAPI

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.reports import PERFORMS_HEADER, WORKFLOWS
from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.executions.accept import Acceptor
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.server import direct
from stigmer_cli.server.routes import errors, executions, reports, steps
from stigmer_cli.server.routes.called import services
from stigmer_cli.server.services import Services
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.store import open_store
from tests.contracts.store.drafts import AGENT, START
from tests.contracts.store.test_workflows import accept, workflow
from tests.support.fakes import ManualClock, SwitchedLink

ID = "aex-00000000000000000000000001"
REPORT = {"epoch": 1, "run": "run-1", "attempt": 1}
CLAIM = {**REPORT, "runner": "r"}
STEP = {
    "key": "/t/1",
    "kind": "tool",
    "name": "t",
    "effect": "once",
    "nonce": "n1234567",
    "inputHash": "h1",
    "input": "{}",
}

Told = tuple[int, str, str, object, object]
Asked = tuple[str, str, object, dict[str, str]]


def post(path: str, body: object, headers: dict[str, str] | None = None) -> Asked:
    return ("POST", path, body, headers or {})


def report(what: str, **fields: object) -> Asked:
    return post(f"/v1/executions/{ID}/{what}", {**REPORT, **fields}, {PERFORMS_HEADER: WORKFLOWS})


CONVERSATION: Sequence[Asked] = (
    post("/v1/executions", {"agent": "greeter", "message": "hi", "id": ID}, {"Idempotency-Key": "key"}),
    post("/v1/executions", {"agent": "greeter", "message": "hi", "id": ID}, {"Idempotency-Key": "key"}),
    post("/v1/executions", {"agent": "greeter", "message": "ho", "id": ID}, {"Idempotency-Key": "key"}),
    post("/v1/executions", {"agent": "greeter", "message": "hi"}, {"Idempotency-Key": "k" * 201}),
    post("/v1/executions", {"agent": "nobody", "message": "hi"}),
    post("/v1/executions", {"agent": "greeter", "message": "hi", "surplus": 1}),
    post("/v1/executions", {"agent": "greeter", "message": ""}),
    post("/v1/executions?require=temporal", {"agent": "greeter", "message": "hi"}),
    post("/v1/executions?require=nonsense", {"agent": "greeter", "message": "hi"}),
    post("/v1/executions", b"{not JSON"),
    post("/v1/executions", b""),
    post("/v1/executions", b'{"agent": "greeter", "message": "\\ud800"}'),
    report("claimed-attempts", runner="r", workflowId="of-another"),
    report("claimed-attempts"),
    post("/v1/executions/aex-unknown/claimed-attempts", CLAIM),
    report("claimed-attempts", runner="r", workflowId="WORKFLOW", firstRun="run-1"),
    report("claimed-attempts", runner="r", workflowId="WORKFLOW", firstRun="run-1", run="run-2"),
    report("messages", index=0, offset=0, role="assistant", text="Hello"),
    report("messages", index=0, offset=50, role="assistant", text="a gap"),
    report("messages", index="0", offset=5.0, role="assistant", text=" you"),
    report("steps/begin", step=STEP),
    report("steps/begin", step={**STEP, "effect": "nonsense"}),
    report("steps/finish", step=STEP, end={"state": "DONE", "result": '"r"', "tookS": 0.5}),
    report("outcome", phase="COMPLETED", output="Hello you", error=None, attempt=7),
    report("outcome", phase="NONSENSE", output="Hello you"),
    report("outcome", phase="NONSENSE", output="long " * 300_000, surplus=[1]),
    report("outcome", phase="COMPLETED", output="Hello you", error=None),
    report("outcome", phase="COMPLETED", output="Hello you", error=None),
    report("outcome", phase="FAILED", output=None, error="late", run="run-2"),
    ("GET", f"/v1/executions/{ID}/stream", b"", {}),
    ("GET", f"/v1/executions/{ID}/stream?after=2", b"", {}),
    ("GET", f"/v1/executions/{ID}/stream?after=-1", b"", {}),
    ("GET", f"/v1/executions/{ID}/stream?after=99999999999999999999", b"", {}),
    ("GET", "/v1/executions/aex-unknown/stream?after=0", b"", {}),
    ("GET", f"/v1/executions/{ID}", b"", {}),
    ("DELETE", f"/v1/executions/{ID}/outcome", b"", {}),
)

STATUSES = [
    202,
    202,
    409,
    400,
    404,
    400,
    400,
    503,
    400,
    400,
    400,
    400,
    200,
    400,
    200,
    200,
    200,
    200,
    409,
    200,
    200,
    400,
    200,
    200,
    400,
    400,
    200,
    200,
    200,
    200,
    200,
    400,
    400,
    404,
    200,
    405,
]


@asynccontextmanager
async def applications(folder: Path) -> AsyncIterator[tuple[Services, FastAPI]]:
    """The routes of executions with a store of their own, always the same one."""
    clock, notifier = ManualClock(START), Notifier()
    link = SwitchedLink()
    link.put(ConnectionState.DISCONNECTED, cause="away")
    ids = IdGenerator(clock, random.Random(1))
    async with await open_store(f"sqlite:///{folder}/store.db", clock=clock) as store:
        store.events.on_change = notifier.notify
        await store.agents.apply([AgentDraft(id=AGENT, name="greeter", slug="greeter", spec=AgentSpec())])
        admission = Admission(clock=clock, is_full=lambda: False)
        dispatcher = SimpleNamespace(nudge=lambda: None)
        called = SimpleNamespace(
            store=store,
            link=link,
            notifier=notifier,
            clock=clock,
            settings=SimpleNamespace(submit_policy=SubmitPolicy.QUEUE, retention_s=None),
            admission=admission,
            acceptor=Acceptor(store, link, dispatcher, notifier, admission=admission, clock=clock, ids=ids),
            metrics=SimpleNamespace(claims_lost=SimpleNamespace(inc=lambda: None)),
            pollers=SimpleNamespace(polling=None),
            stuck=SimpleNamespace(stuck_of=_nothing),
        )
        app = FastAPI()
        for routes in (reports, steps, executions):
            app.include_router(routes.router)
        errors.install(app)
        app.dependency_overrides[services] = lambda: called
        yield cast("Services", called), app


async def _nothing(_execution: object) -> None:
    """Not stuck."""


async def talk(folder: Path, *, is_direct: bool) -> Sequence[Told]:
    """What the conversation comes to."""
    told: list[Told] = []
    async with applications(folder) as (called, app):
        asgi = direct.DirectRoutes(app, called) if is_direct else app
        transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
            for method, path, body, headers in CONVERSATION:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                if b"WORKFLOW" in content:
                    row = await called.store.executions.get(ExecutionId(ID))
                    content = content.replace(b"WORKFLOW", row.workflow.id.encode())
                sent = {"Content-Type": "application/json", **headers}
                answer = await client.request(method, path, content=content, headers=sent)
                shown = {name: answer.headers.get(name) for name in ("content-type", "retry-after")}
                told.append(
                    (answer.status_code, method, path, shown, _parse(answer.text.replace(called.store.id, "STORE")))
                )
    return told


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def test_the_direct_way_and_the_long_one_give_the_same_answers(tmp_path: Path) -> None:
    for name in ("direct", "long"):
        (tmp_path / name).mkdir()
    direct_ones = await talk(tmp_path / "direct", is_direct=True)
    long_ones = await talk(tmp_path / "long", is_direct=False)
    for one, other in zip(direct_ones, long_ones, strict=True):
        assert one == other
    assert [told[0] for told in direct_ones] == STATUSES


@pytest.mark.parametrize("path", ["/v1/executions", f"/v1/executions/{ID}/outcome", f"/v1/executions/{ID}/stream"])
async def test_an_unforeseen_error_is_answered(path: str) -> None:
    method = "GET" if path.endswith("stream") else "POST"
    body = {"agent": "greeter", "message": "hi"} if path == "/v1/executions" else {**REPORT, "phase": "COMPLETED"}
    transport = httpx.ASGITransport(direct.DirectRoutes(FastAPI(), cast("Services", SimpleNamespace())))
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


async def test_a_runner_of_an_older_version_is_given_no_workflow(tmp_path: Path) -> None:
    async with applications(tmp_path) as (called, app):
        await called.store.workflows.apply([workflow("pets")])
        row = await accept(called.store, "pets", {})
        transport = httpx.ASGITransport(direct.DirectRoutes(app, called))
        async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
            claim = {**CLAIM, "workflowId": row.workflow.id, "firstRun": "run-1"}
            answer = await client.post(f"/v1/executions/{row.id}/claimed-attempts", json=claim)
        found = await called.store.executions.get(row.id)
    assert answer.json() == {"answer": "lost", "work": None, "isOvertaken": False}
    assert (found.phase, found.epoch, found.dispatch.reason) == ("PENDING", 2, "waiting-for-runner")
    assert found.dispatch.detail == "runner r is of an older version, which cannot perform workflows: replace it"
