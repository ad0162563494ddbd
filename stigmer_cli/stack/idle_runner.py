"""Reads from the runner's own record why it takes up no work."""

from stigmer_cli.runner_record import read_runner_records
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.supervisor.record import SupervisorRecord


def explain_idle_runner(record: SupervisorRecord, home: Home) -> dict[str, str]:
    """The reason, by the name of the part; empty if the runner works or has recorded nothing yet."""
    child = record.child(RUNNER)
    for said in read_runner_records(home):
        if child is not None and said.id == child.id and not said.is_served:
            return {RUNNER: f"takes up no work: {said.cause or 'no server has answered yet'}"}
    return {}
