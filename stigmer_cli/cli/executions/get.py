"""`stigmer executions get`: where one execution stands, why, and what happened to it."""

from collections.abc import Sequence

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import parse_execution_id
from stigmer_cli.cli.executions.tables import print_execution
from stigmer_cli.client import Client
from stigmer_cli.stack.endpoints_file import endpoints


def show_execution(cli: Cli, execution: str) -> None:
    """Print it, and a way out where it does not get on."""
    name = parse_execution_id(execution)
    found, events = cli.call(lambda client: _with_events(client, name))
    stack = endpoints(cli.settings().home)
    link = stack.workflow_url(found.status.dispatch.workflow_id, found.status.dispatch.run_id) if stack else None
    data = {**found.to_wire(), **({"webUi": link} if link else {})}
    cli.out.result(data, lambda console: print_execution(console, found, events, link=link))
    if found.stuck:
        cli.out.hint(found.stuck.hint)


async def _with_events(client: Client, name: str) -> tuple[ExecutionResource, Sequence[EventBody]]:
    return await client.execution(name), await client.events(name)
