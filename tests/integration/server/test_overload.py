"""A server that has no time for what people send refuses it within a second, and nothing of it is written."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from stigmer_cli.domain.identity import ExecutionId, Kind, StoreId, WorkflowName
from stigmer_cli.executions.admission import LATE_FOR_S, LATE_S
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, accept, make_agent, served
from tests.support.temporal_server import free_port

NUMBER = 6
CLAIMED, SENT = 6, 20
ANSWER_MAX_S = 3.0
"""A second, and what a busy machine adds; the lock that everything waits for would be waited for longer."""


async def test_what_would_wait_is_refused_with_nothing_written_and_accepted_later(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30.0, trust_env=False
        ) as http:

            async def submit(key: str) -> tuple[httpx.Response, float]:
                begun = time.monotonic()
                request = {"agent": "greeter", "message": "hello"}
                answer = await http.post("/v1/executions", json=request, headers={"Idempotency-Key": key})
                return answer, time.monotonic() - begun

            with closing(sqlite3.connect(tmp_path / "data" / "stigmer.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # one write of the server waits for this one, all others for that
                tasks = [asyncio.create_task(submit(str(number))) for number in range(NUMBER)]

                async def are_refused() -> bool:
                    return sum(task.done() for task in tasks) >= NUMBER - 1

                await eventually(are_refused, within_s=ANSWER_MAX_S, what="all but one are refused")
                health = (await http.get("/v1/health")).json()
                other.execute("ROLLBACK")
            answers = [await task for task in tasks]
            refused = [(answer, took_s) for answer, took_s in answers if answer.status_code != httpx.codes.ACCEPTED]
            assert len(refused) >= NUMBER - 1
            for answer, took_s in refused:
                assert (answer.status_code, answer.json()["code"]) == (503, "server-busy")
                assert answer.json()["detail"].endswith("; nothing was written")
                assert int(answer.headers["retry-after"]) >= 1
                assert took_s < ANSWER_MAX_S
            assert (health["load"]["busy"], health["load"]["refused"] >= NUMBER - 1) == (True, True)
            assert any(
                reason.startswith("there is more to write than the store takes: ") for reason in health["reasons"]
            )
            listed = (await http.get("/v1/executions?count=true")).json()
            assert listed["total"] == NUMBER - len(refused)
            again = [(await submit(str(number)))[0].status_code for number in range(NUMBER)]
            assert again == [httpx.codes.ACCEPTED] * NUMBER
            assert (await http.get("/v1/executions?count=true")).json()["total"] == NUMBER


async def test_what_comes_beyond_what_is_claimed_late_is_refused_and_told_when_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        accepted = [(await accept(client, str(number))).metadata.id for number in range(CLAIMED)]
        store = (await client.identity()).store_id
        await asyncio.sleep(LATE_S + 0.1)
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30.0, trust_env=False
        ) as http:

            async def claim(execution: str) -> httpx.Response:
                name = WorkflowName(kind=Kind.AGENT, execution=ExecutionId(execution), epoch=1, store=StoreId(store))
                report = {"epoch": 1, "run": "run-1", "runner": "runner", "workflowId": name.id, "attempt": 1}
                return await http.post(f"/v1/executions/{execution}/claimed-attempts", json=report)

            async def submit(number: int) -> httpx.Response:
                headers = {"Idempotency-Key": f"more-{number}"}
                request = {"agent": "greeter", "message": "hello"}
                return await http.post("/v1/executions", json=request, headers=headers)

            claims = [await claim(execution) for execution in accepted[:-1]]
            await asyncio.sleep(LATE_FOR_S)
            claims.append(await claim(accepted[-1]))
            assert [one.json()["answer"] for one in claims] == ["won"] * CLAIMED
            answers = [await submit(number) for number in range(SENT)]
            refused = [answer for answer in answers if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE]
            assert refused
            for answer in refused:
                assert answer.json()["code"] == "server-busy"
                assert answer.json()["detail"].endswith("s for a runner; nothing was written")
                assert int(answer.headers["retry-after"]) >= 1
            health = (await http.get("/v1/health")).json()
            assert (health["load"]["busy"], health["load"]["refused"]) == (True, len(refused))
            assert any(one.startswith("more executions are sent than are performed") for one in health["reasons"])
            listed = (await http.get("/v1/executions?count=true")).json()
            assert listed["total"] == CLAIMED + SENT - len(refused)
