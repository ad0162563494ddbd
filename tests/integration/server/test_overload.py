"""A server whose store has no time for what people send refuses it within a second, and nothing of it is written."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from tests.support.polling import eventually
from tests.support.running_server import TOKEN, make_agent, served
from tests.support.temporal_server import free_port

NUMBER = 6
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
