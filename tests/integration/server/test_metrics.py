"""What the server counts, read by prometheus-client's own parser."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.eventually import eventually
from tests.served import TOKEN, Served, accept, make_agent, served
from tests.temporal_server import DevServer, free_port

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
    "stigmer_claims_lost",
    "stigmer_task_queue_pollers",
}


async def _samples(server: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        text = (await http.get("/metrics")).text
    families = list(text_string_to_metric_families(text))
    assert {family.name for family in families} == NAMES
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_the_queue_and_the_connection_are_counted_while_temporal_is_away(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        for number in range(3):
            await accept(client, f"k{number}")
        found = await _samples(server)
    assert found["stigmer_dispatch_queue_depth", ()] == 3
    assert found["stigmer_executions", ("PENDING", "agent")] == 3
    assert found["stigmer_temporal_connection_state", ("DISCONNECTED",)] == 1
    assert found["stigmer_temporal_connection_state", ("CONNECTED",)] == 0
    assert found["stigmer_oldest_pending_seconds", ()] > 0
    assert found["stigmer_temporal_dials_total", ("failed",)] >= 1


async def test_submits_and_changes_are_counted_once_temporal_is_there(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal:
        async with served(tmp_path, temporal.address) as server, server.client() as client:
            await make_agent(client)
            await accept(client, "k")
            temporal.start()

            async def submitted() -> bool:
                return (await _samples(server)).get(("stigmer_submits_total", ("started",))) == 1

            await eventually(submitted, within_s=15)
            found = await _samples(server)
    assert found["stigmer_temporal_connection_changes_total", ("CONNECTED", "DISCONNECTED")] >= 1
    assert found["stigmer_temporal_connection_state", ("CONNECTED",)] == 1
    assert found["stigmer_dispatch_queue_depth", ()] == 0
