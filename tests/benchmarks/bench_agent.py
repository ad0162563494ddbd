"""What an agent of 20 steps takes on a stack, beside the same agent of pydantic-ai run bare, and what 20 steps cost.

Both have the same model, which answers at once, and call the same tools of the same server over HTTP. Runs of both
alternate. Of the stack's, the time counts from the claim to the outcome: what starting it takes is measured elsewhere.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from mcp.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from tests.benchmarks.bench_steps import measure_steps
from tests.benchmarks.report import Benchmark, Row
from tests.chaos.tool_agents import SERVER, Call, ToolAgent
from tests.support.installed import Stigmer, installed
from tests.support.temporal_server import die_with_parent, free_port

RUNS, QUICK_RUNS = 40, 10
STEPS, SOME_STEPS = 20, 200
SHARE = 1.2
"""How much longer than a bare run it may take, beside its steps."""

_PAIR = [Call(tool="put", text="a"), Call(tool="send", text="b")]
AGENT = ToolAgent(name="clerk", turns=[_PAIR] * 5 + [_PAIR[1:]] * 2)
"""Eight turns and twelve calls."""


@contextmanager
def _tool_server(folder: Path) -> Iterator[str]:
    """Its address."""
    port = free_port()
    argv = [sys.executable, "-I", "-S", str(SERVER), str(folder / "effects.jsonl"), str(port)]
    with subprocess.Popen(argv, preexec_fn=die_with_parent) as process:  # noqa: PLW1509 - one prctl
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def _play(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    number = sum(isinstance(message, ModelResponse) for message in messages)
    if number == len(AGENT.turns):
        return ModelResponse(parts=[TextPart(AGENT.end)])
    calls = [ToolCallPart(call.tool, {"text": call.text}) for call in AGENT.turns[number]]
    return ModelResponse(parts=[TextPart(f"Turn {number}."), *calls])


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[McpClient]:
    async with McpClient(streamable_http_client(url), cache=None) as mcp:
        yield mcp


async def _run_bare(url: str) -> float:
    """Seconds of one bare run, from the connection on."""
    since = time.perf_counter()
    async with _connected(url) as mcp:

        async def call(tool: str, text: str) -> str:
            return (await mcp.call_tool(tool, {"text": text})).content[0].text  # type: ignore[union-attr]

        async def put(text: str) -> str:
            return await call("put", text)

        async def send(text: str) -> str:
            return await call("send", text)

        await mcp.list_tools()
        agent = Agent(FunctionModel(_play), toolsets=[FunctionToolset([put, send])])
        result = await agent.run("go")
    assert result.output == AGENT.end
    return time.perf_counter() - since


async def _run_ours(client: Client) -> float:
    """Seconds of one execution, from its claim to its outcome."""
    request = ExecutionRequest(agent=AGENT.name, message="go")
    name = (
        await client.create_execution(request, idempotency_key=str(uuid.uuid4()), require_temporal=False)
    ).metadata.id
    async for _event in client.follow(name, after=0):  # as `stigmer run` does; to ask again and again costs more
        pass
    status = (await client.execution(name)).status
    assert status.output == AGENT.end, status.error
    assert len((await client.steps(name)).items) == STEPS
    assert status.started_at is not None
    assert status.completed_at is not None
    return float((status.completed_at - status.started_at).total_seconds())


async def _run_rounds(stigmer: Stigmer, url: str, runs: int) -> tuple[float, float]:
    """The median of each, in seconds, after one of each that does not count."""
    token = (stigmer.home / "token").read_text().strip()
    ours, bare = [], []
    async with Client(f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}", lambda: token) as client:
        await client.apply([AGENT.manifest(stigmer.home, stigmer.home / "effects.jsonl", url)])
        for _ in range(runs + 1):
            ours.append(await _run_ours(client))
            bare.append(await _run_bare(url))
    return statistics.median(ours[1:]), statistics.median(bare[1:])


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Milliseconds of an execution, and what it may take."""
    assert AGENT.steps == STEPS
    step_s = asyncio.run(measure_step_s())
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name) / "home") as stigmer,
        _tool_server(Path(name)) as url,
    ):
        stigmer.ok("up")
        ours_s, bare_s = asyncio.run(_run_rounds(stigmer, url, QUICK_RUNS if is_quick else RUNS))
        stigmer.ok("down")
    ours_ms, bare_ms, steps_ms = ours_s * 1_000, bare_s * 1_000, STEPS * step_s * 1_000
    what = f"an agent of {STEPS} steps, from claim to outcome, p50"
    return [
        Row(what=what, measured=ours_ms, unit="ms", reference="the same agent of pydantic-ai, bare", beside=bare_ms),
        Row(
            what=what,
            measured=ours_ms,
            unit="ms",
            reference=f"{SHARE} x bare + {STEPS} x begin and finish of a step ({step_s * 1_000:.1f} ms)",
            beside=SHARE * bare_ms + steps_ms,
            budget=1.0,
        ),
    ]


async def measure_step_s() -> float:
    """The median of begin and finish of a step, in seconds."""
    performed, _, _ = await measure_steps(SOME_STEPS)
    return statistics.median(performed)


BENCHMARK = Benchmark(
    name="agent",
    about="An agent of 20 steps, beside the same agent of pydantic-ai run bare, with the same model and tools.",
    run=run,
)
