"""What the server counts, read by prometheus-client's own parser."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stigmer_cli.api.query import Query
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.api.resources import ExecutionStatus
from stigmer_cli.client import Client as ApiClient
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.run_reports import RunReports
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import DevServer, client_of, free_port

NAMES = {
    "stigmer_temporal_connection_state",
    "stigmer_temporal_connection_state_seconds",
    "stigmer_temporal_connection_changes",
    "stigmer_temporal_probes",
    "stigmer_temporal_probe_seconds",
    "stigmer_temporal_dials",
    "stigmer_temporal_reconnects",
    "stigmer_executions",
    "stigmer_dispatch_queue_depth",
    "stigmer_oldest_pending_seconds",
    "stigmer_submits",
    "stigmer_reconciled",
    "stigmer_attention",
    "stigmer_claims_lost",
    "stigmer_task_queue_pollers",
    "stigmer_temporal_calls",
    "stigmer_event_loop_blocks",
    "stigmer_event_loop_last_block_seconds",
    "stigmer_stuck_executions",
    "stigmer_model_tokens",
    "stigmer_model_cost_dollars",
    "stigmer_model_turns",
    "stigmer_tool_calls",
}
MANUAL = {"STIGMER_RECONCILE": "manual"}
STATE = "stigmer_temporal_connection_state"
PROBES = "stigmer_temporal_probes_total"
CHANGES = "stigmer_temporal_connection_changes_total"
LABELS = ("before", "after", "call", "outcome", "phase", "kind", "state", "done", "code", "class")
"""In the order in which the tests name their values; a histogram's buckets are not looked at one by one."""

DONE = ("resubmitted", "repaired")
RECONCILED = {"resubmitted": 2, "repaired": 1}

Key = tuple[str, tuple[str, ...]]


async def _samples(server: Served) -> dict[Key, float]:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        text = (await http.get("/metrics")).text
    families = list(text_string_to_metric_families(text))
    assert {family.name for family in families} == NAMES
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What was counted before, during and after a loss of Temporal and its memory.

    `orphan` was submitted before it, `taken` was claimed as well, and `behind` was accepted during it.
    """

    claims: Sequence[ClaimAnswer]
    before: Mapping[Key, float]
    away: Mapping[Key, float]
    after: Mapping[Key, float]
    orphan: ExecutionStatus
    taken: ExecutionStatus
    behind: ExecutionStatus


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    """One outage for the tests that read its numbers."""
    return asyncio.run(_record_outage(tmp_path_factory.mktemp("outage")))


async def _record_outage(folder: Path) -> Outage:
    with DevServer(folder) as temporal:
        temporal.start()
        async with served(folder, temporal.address) as server, server.client() as client:
            await make_agent(client)
            await _until(server, {(PROBES, ("ok",)): 1, ("stigmer_temporal_calls_total", ("pollers", "ok")): 1})
            orphan = (await accept(client, "orphan")).metadata.id
            await _until(server, {("stigmer_submits_total", ("started",)): 1})
            taken = (await accept(client, "taken")).metadata.id
            await _until(server, {("stigmer_submits_total", ("started",)): 2})
            claims = [await _claim(client, taken, run) for run in ("one", "another")]
            before = await _samples(server)
            temporal.kill()
            await _until(server, {(STATE, ("DISCONNECTED",)): 1})
            behind = (await accept(client, "behind")).metadata.id
            away = await _samples(server)
            temporal.start()  # in memory, so it forgot everything
            await _until(server, {("stigmer_temporal_reconnects", ()): 1, ("stigmer_dispatch_queue_depth", ()): 0})
            await _terminate(temporal, (await client.execution(behind)).status.dispatch.workflow_id)
            await _until(server, {("stigmer_reconciled_total", (done,)): number for done, number in RECONCILED.items()})
            after = await _samples(server)
            rows = {row.metadata.id: row.status for row in (await client.executions(Query(limit=10))).items}
    return Outage(
        claims=claims,
        before=before,
        away=away,
        after=after,
        orphan=rows[orphan],
        taken=rows[taken],
        behind=rows[behind],
    )


async def _claim(client: ApiClient, id_: str, run: str) -> ClaimAnswer:
    dispatch = (await client.execution(id_)).status.dispatch
    return await RunReports(client).claim(
        id_, epoch=1, run=run, runner="r", workflow=dispatch.workflow_id, first_run=dispatch.run_id or ""
    )


async def test_the_queue_and_the_connection_are_counted_while_temporal_is_away(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        await server.until("DISCONNECTED")
        for number in range(3):
            await accept(client, f"k{number}")
        found = await _samples(server)
    assert found["stigmer_dispatch_queue_depth", ()] == 3
    assert found["stigmer_executions", ("PENDING", "agent")] == 3
    assert found["stigmer_temporal_connection_state", ("DISCONNECTED",)] == 1
    assert found["stigmer_temporal_connection_state", ("CONNECTED",)] == 0
    assert found["stigmer_oldest_pending_seconds", ()] > 0
    assert found["stigmer_temporal_dials_total", ("failed",)] >= 1


def test_claims_calls_dials_and_probes_are_counted(outage: Outage) -> None:
    before = outage.before
    assert outage.claims == [ClaimAnswer.WON, ClaimAnswer.LOST]
    assert before["stigmer_claims_lost_total", ()] == 1
    assert before["stigmer_executions", ("IN_PROGRESS", "agent")] == 1
    assert before["stigmer_temporal_calls_total", ("start", "ok")] == 2
    assert before["stigmer_temporal_dials_total", ("ok",)] == 1
    assert before["stigmer_temporal_probe_seconds_count", ()] == before[PROBES, ("ok",)] > 0
    assert before[STATE, ("CONNECTED",)] == 1
    assert before["stigmer_temporal_reconnects", ()] == 0
    assert [before["stigmer_reconciled_total", (done,)] for done in DONE] == [0, 0]


def test_an_outage_is_counted_while_it_lasts(outage: Outage) -> None:
    away = outage.away
    assert away["stigmer_dispatch_queue_depth", ()] == 1
    assert away["stigmer_oldest_pending_seconds", ()] > 0
    assert away[PROBES, ("failed",)] >= 1
    assert 0 < away["stigmer_temporal_connection_state_seconds", ()] < 60


def test_a_reconnect_and_what_was_reconciled_after_it_are_counted(outage: Outage) -> None:
    before, after = outage.before, outage.after
    # A kill in the middle of a probe has another cause than one between two.
    assert sum(after.get((CHANGES, (state, "DISCONNECTED")), 0) for state in ("CONNECTED", "SUSPECT")) >= 1
    assert after[CHANGES, ("DISCONNECTED", "CONNECTED")] >= 1
    assert after["stigmer_task_queue_pollers", ()] == 0
    assert [before["stigmer_attention_total", ("lost",)], after["stigmer_attention_total", ("lost",)]] == [0, 0]
    assert (outage.orphan.phase, outage.orphan.epoch) == (Phase.PENDING, 1)
    assert (outage.taken.phase, outage.taken.epoch) == (Phase.PENDING, 2), "what a run had claimed was resumed"
    assert outage.behind.phase is Phase.FAILED


async def test_what_a_person_asks_for_is_counted_as_well(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal:
        temporal.start()
        async with served(tmp_path, temporal.address, MANUAL) as server, server.client() as client:
            await make_agent(client)
            await accept(client, "orphan")
            await _until(server, {("stigmer_submits_total", ("started",)): 1})
            temporal.kill()
            await _until(server, {(STATE, ("DISCONNECTED",)): 1})
            temporal.start()
            await _until(server, {(STATE, ("CONNECTED",)): 1})
            found = await eventually(lambda: _resubmitted(client), within_s=20, despite=TemporalUnavailable)
            after = await _samples(server)
    assert found == ["resubmitted"]
    assert after["stigmer_reconciled_total", ("resubmitted",)] == 1


async def _resubmitted(client: ApiClient) -> list[str]:
    told = [item async for item in client.reconcile(ReconcileRequest())]
    return [item.outcome for item in told if isinstance(item, ReconcileItem) and item.outcome == "resubmitted"]


async def _until(server: Served, wanted: Mapping[Key, float]) -> None:
    """Return when every one of `wanted` is at least what it says; at 0, when it is that."""

    async def reached() -> bool:
        found = await _samples(server)
        return all(found.get(key) == 0 if least == 0 else found.get(key, 0) >= least for key, least in wanted.items())

    await eventually(reached, within_s=20, what=str(wanted))


async def _terminate(temporal: DevServer, workflow: str) -> None:
    client = await client_of(temporal)
    await client.get_workflow_handle(workflow).terminate()
