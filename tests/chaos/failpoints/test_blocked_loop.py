"""S11: a server whose event loop is blocked reports it with the stack, in its log, its health and its metrics."""

import json

import httpx
from prometheus_client.parser import text_string_to_metric_families

from stigmer_cli.api.health import HealthState
from tests.chaos.failpoints.harness import FailpointHarness
from tests.support.running_server import TOKEN, make_agent

BLOCKED_S = 5


async def test_a_blocked_loop_is_reported_with_its_stack_and_the_request_is_done(
    harness: FailpointHarness,
) -> None:
    server, wanted = harness.server, harness.request()
    await harness.until_all_poll()
    async with server.client() as client:
        await make_agent(client)
        with harness.server_points.arm("submit begins", f"sleep:{BLOCKED_S}"):
            assert await harness.ask(client, wanted)
        await harness.wait_settled(client, wanted)
        await harness.until_all_poll()
        health = await client.health()
    assert health.state is HealthState.DEGRADED
    assert [reason for reason in health.reasons if reason.startswith("the server stood still for ")]
    assert BLOCKED_S <= (health.loop.last_blocked_s or 0) < BLOCKED_S + 5
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    blocked = [line for line in lines if line["event"] == "event_loop_blocked" and line["level"] == "error"]
    assert len(blocked) == 1
    assert 2 <= blocked[0]["blocked_s"] < BLOCKED_S
    assert blocked[0]["stack"][-1].endswith(" reach"), blocked[0]["stack"]
    (turns,) = [line for line in lines if line["event"] == "event_loop_turns_again"]
    assert BLOCKED_S <= turns["blocked_s"] < BLOCKED_S + 5
    found = await _metrics(server.url)
    assert found["stigmer_event_loop_blocks_total"] == 1
    assert found["stigmer_task_queue_pollers"] >= 2, "one that changed its worker is seen twice for a while"
    assert BLOCKED_S <= found["stigmer_event_loop_last_block_seconds"] < BLOCKED_S + 5


async def _metrics(url: str) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        text = (await http.get("/metrics")).text
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}
