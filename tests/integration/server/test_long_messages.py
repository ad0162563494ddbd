"""What is as long as it may be goes through the server without keeping anybody else waiting."""

from pathlib import Path

from stigmer_cli.api.query import Query
from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.api.resources import MESSAGE_MAX
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from stigmer_cli.run_reports import RunReports
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import free_port

OUTPUT_CHARS = 500_000


async def test_the_longest_messages_and_answers_block_nothing(tmp_path: Path) -> None:
    """The watchdog of the server complains otherwise, and the test fails."""
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        for number in range(10):
            await _goes_through(client, number)
        assert len((await client.list_executions(Query(), limit=20)).items) == 10


async def _goes_through(client: Client, number: int) -> None:
    message = '[x"' * (MESSAGE_MAX // 3)  # brackets, and quotes that are escaped
    accepted = await accept(client, f"key-{number}", message=message)
    execution, dispatch = accepted.metadata.id, accepted.status.dispatch
    claimed = await RunReports(client).claim(
        execution,
        epoch=1,
        run="r",
        runner="t",
        workflow=dispatch.workflow_id,
        first_run=dispatch.run_id or "r",
    )
    assert claimed is ClaimAnswer.WON
    work = await RunReports(client).begin_attempt(execution, epoch=1, run="r", attempt=1, runner="t")
    assert work is not None
    assert work.message == message
    output = "word " * (OUTPUT_CHARS // 5)
    assert await RunReports(client).finish(
        execution, epoch=1, run="r", attempt=1, phase=Phase.COMPLETED, output=output, error=None
    )
    assert (await client.execution(execution)).status.output == output
