"""`stigmer executions get`: shows one execution, the reason for its phase, and its timeline."""

from collections.abc import Sequence

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_id
from stigmer_cli.cli.executions.spans import find_spans
from stigmer_cli.cli.executions.tables import print_execution
from stigmer_cli.client import Client
from stigmer_cli.stack.endpoints_file import read_endpoints


def show_execution(cli: Cli, execution: str) -> None:
    """Print it, and what to type if it is stuck."""
    name = resolve_id(cli, execution)
    found, events = cli.call(lambda client: _read_with_events(client, name))
    stack = read_endpoints(cli.home)
    link = stack.workflow_url(found.status.dispatch.workflow_id, found.status.dispatch.run_id) if stack else None
    spans = find_spans(events, cli.now(), is_workflow=bool(found.spec.workflow_id))
    data = {
        **found.to_wire(),
        "events": [event.to_wire() for event in events],
        "spans": [one.to_json() for one in spans],
        **({"webUi": link} if link else {}),
    }
    cli.out.result(data, lambda console: print_execution(console, found, events, spans, link=link))
    if found.status.waiting and found.status.waiting.calls:
        cli.out.hint(f"stigmer executions approve {name}, or stigmer executions deny {name}")
    if found.stuck:
        cli.out.hint(found.stuck.hint)


async def _read_with_events(client: Client, name: str) -> tuple[ExecutionResource, Sequence[EventBody]]:
    return await client.execution(name), await client.events(name)
