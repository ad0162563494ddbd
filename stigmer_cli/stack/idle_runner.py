"""Why the runner of a stack takes up no work, as it says itself."""

from stigmer_cli.runner_record import read_runner_records
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.supervisor.record import SupervisorRecord


def idle_runner(record: SupervisorRecord, home: Home) -> dict[str, str]:
    """The reason under the name of the part; empty where its runner works, or has not said anything yet."""
    child = record.child(RUNNER)
    for said in read_runner_records(home):
        if child is not None and said.id == child.id and not said.is_served:
            return {RUNNER: f"takes up no work: {said.cause or 'no server has answered yet'}"}
    return {}
