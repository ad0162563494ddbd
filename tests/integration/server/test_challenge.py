"""A real server proves who it is, on each connection, and only for the place that it was asked at."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from stigmer_cli.client import Client
from stigmer_cli.credential import FileToken, rotate_token
from stigmer_cli.errors import ServerUnproven
from stigmer_cli.server_proof import PATH, proof_of
from stigmer_cli.settings import Home
from stigmer_cli.stack.server_probe import get_json
from tests.support.http_relay import Relay
from tests.support.running_server import TOKEN, Served, served

NOWHERE = "127.0.0.1:1"
NONCE = "0123456789abcdef" * 4


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    home = tmp_path_factory.mktemp("home")
    async with served(home, NOWHERE) as found:
        yield found
    shutil.rmtree(home)


async def asked(server: Served, nonce: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.get(PATH, params={"nonce": nonce}, headers=headers)


async def test_it_proves_its_token_pid_and_address_to_any_client(server: Served) -> None:
    assert server.process is not None
    pid = server.process.pid
    proof = proof_of(TOKEN, nonce=NONCE, address=f"127.0.0.1:{server.port}", pid=pid)
    assert (await asked(server, NONCE)).json() == {"pid": pid, "proof": proof}


@pytest.mark.parametrize("nonce", ["", "00", NONCE[:-1], NONCE + "0", NONCE.upper(), "g" * 64])
async def test_it_signs_nothing_but_a_nonce(server: Served, nonce: str) -> None:
    assert (await asked(server, nonce)).status_code == 400


async def test_a_page_gets_no_proof(server: Served) -> None:
    assert (await asked(server, NONCE, host=f"evil.example:{server.port}")).status_code == 421
    assert (await asked(server, NONCE, origin="http://evil.example")).status_code == 403


async def test_a_relay_of_the_challenge_to_the_true_server_is_detected(server: Served) -> None:
    with Relay(server.port) as between:
        url = between.url
        async with Client(url, lambda: TOKEN) as client:
            with pytest.raises(ServerUnproven):
                await client.health()
        with pytest.raises(ServerUnproven):
            await get_json(f"{url}/v1/health", TOKEN)
        async with Client(url, lambda: TOKEN, is_insecure_allowed=True) as told:
            assert await told.ready(), "all but the proof goes through"


async def test_many_calls_at_once_each_go_over_a_proven_connection(server: Served) -> None:
    async with server.client() as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.health()) for _ in range(50)]
    assert {call.result().pid for call in calls} == {server.process.pid if server.process else 0}


async def test_the_bare_probe_is_answered_on_the_connection_that_was_proven(server: Served) -> None:
    status, body = await get_json(f"{server.url}/v1/health", TOKEN)
    assert (status, body["pid"]) == (200, server.process.pid if server.process else 0)


async def test_a_rotated_token_is_proven_at_once(tmp_path: Path) -> None:
    home = Home(path=tmp_path)
    async with served(tmp_path, NOWHERE, {"STIGMER_TOKEN": ""}, token=FileToken(home)) as server:
        for _ in range(3):
            rotate_token(home)
            async with server.client() as client:
                assert (await client.health()).pid != os.getpid()
