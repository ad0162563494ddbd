"""What doctor reads over bare streams while nothing is open is what it reads with models."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.api.agent_spec import ManifestSpec
from stigmer_cli.api.agent_tools import McpBody, ToolServerBody
from stigmer_cli.api.resources import AgentManifest, ManifestMetadata
from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.facts import quiet_work
from stigmer_cli.doctor.facts.facts import ExecutionsSeen
from stigmer_cli.doctor.facts.open_work import Surroundings, probe_executions
from stigmer_cli.doctor.facts.quiet_work import Caller, probe_quiet_server
from tests.support.doctor_reports import silent_port
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, accept, make_agent, served
from tests.support.temporal_server import DevServer, free_port


async def _nowhere() -> Surroundings:
    return Surroundings()


async def _read_with_models(caller: Caller) -> ExecutionsSeen:
    return await probe_executions(caller, look=_nowhere, clock=SystemClock())


async def _make_agent_with_tools(client: Client) -> None:
    tool = ToolServerBody(mcp=McpBody(command=["true"]))
    spec = ManifestSpec(description="uses tools", model="echo", tools=[tool])
    manifest = AgentManifest(
        api_version="agentic.stigmer.ai/v1", kind="Agent", metadata=ManifestMetadata(name="handy"), spec=spec
    )
    await client.apply([manifest])


async def test_a_quiet_server_is_read_as_with_models_and_any_other_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DevServer(tmp_path) as temporal:
        await asyncio.to_thread(temporal.start)
        async with served(tmp_path, temporal.address) as server, server.client() as client:
            caller = Caller(url=server.url, token=TOKEN)
            await server.until()
            await make_agent(client)
            await make_agent(client, "other", model="openai:gpt-9")
            await client.set_secret("KEY", "swordfish")
            quiet = await eventually(lambda: probe_quiet_server(caller), within_s=10)
            full = await _read_with_models(caller)
            assert full.stuck is not None
            assert (full.stuck.groups, full.stuck.is_whole, full.stuck.is_judged) == ([], True, True)
            assert quiet == replace(full, stuck=None)
            assert quiet == ExecutionsSeen(models=("echo", "openai:gpt-9"), secrets=frozenset({"KEY"}))
            assert await probe_quiet_server(replace(caller, token="of nobody")) is None
            with monkeypatch.context() as patch:
                patch.setattr(quiet_work, "REPORT_S", 0.0)
                assert await probe_quiet_server(caller) == quiet, "nothing open is nothing stuck"
            accepted = await accept(client, "one")
            assert await probe_quiet_server(caller) is None, "an execution is open: no runner is there"
            await client.cancel_execution(accepted.metadata.id)
            await eventually(lambda: probe_quiet_server(caller), within_s=20)
            await _make_agent_with_tools(client)
            assert await probe_quiet_server(caller) is None
            assert [name for name, _ in (await _read_with_models(caller)).tool_servers] == ["handy"]


async def test_who_is_no_server_is_left_to_those_who_tell_what_it_is() -> None:
    assert await probe_quiet_server(Caller(url=f"http://127.0.0.1:{free_port()}", token=TOKEN)) is None
    with silent_port(b"") as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await probe_quiet_server(Caller(url=f"http://127.0.0.1:{port}", token=TOKEN))
