"""`stigmer executions get`: where one execution stands, why, and what happened to it."""

from collections.abc import Sequence

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.arguments import parse_execution_id
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.stuck import STUCK_AFTER_S, Stuck, judge
from stigmer_cli.cli.executions.tables import print_execution
from stigmer_cli.client import Client
from stigmer_cli.clock import is_older
from stigmer_cli.stack.state import endpoints


def show_execution(cli: Cli, execution: str) -> None:
    """Print it, and a way out where it does not get on."""
    found, events, stuck = cli.call(lambda client: _with_story(cli, client, parse_execution_id(execution)))
    stack = endpoints(cli.settings().home)
    link = stack.workflow_url(found.status.dispatch.workflow_id, found.status.dispatch.run_id) if stack else None
    data = {**found.to_wire(), **({"stuck": stuck.reason()} if stuck else {}), **({"webUi": link} if link else {})}
    cause = stuck.words if stuck else None
    cli.out.result(data, lambda console: print_execution(console, found, events, link=link, cause=cause))
    if stuck:
        cli.out.hint(stuck.item.hint)


async def _with_story(
    cli: Cli, client: Client, name: str
) -> tuple[ExecutionResource, Sequence[EventBody], Stuck | None]:
    """The execution, what happened to it, and why it does not get on, if it does not."""
    found, events = await client.execution(name), await client.events(name)
    is_young = not is_older(found.metadata.created_at, client.servers_now or cli.clock.now(), than_s=STUCK_AFTER_S)
    judged = [] if found.status.phase.is_terminal or is_young else await judge(client, [found])
    return found, events, judged[0] if judged else None
