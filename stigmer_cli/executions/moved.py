"""Which executions have gone on since their rows were read: what Temporal said of them meanwhile is younger.

On a busy machine seconds lie between a row and Temporal's answer, and many a run ends in them.
"""

from collections.abc import Sequence

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import NotFound
from stigmer_cli.judgement.stuck import has_moved
from stigmer_cli.store.store import Store


async def find_moved(read: Sequence[Execution], store: Store) -> frozenset[ExecutionId]:
    """The ids of those of `read` whose rows have changed; none where one of them was deleted."""
    asked = {execution.id: execution for execution in read}
    try:
        rows = await store.executions.read_by_ids(list(asked)) if asked else ()
    except NotFound:
        return frozenset()
    return frozenset(row.id for row in rows if has_moved(asked[row.id], row))
