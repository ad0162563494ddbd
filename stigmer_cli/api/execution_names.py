"""Executions by name: what is sent where one is looked up by a part of its id, or chosen from a list."""

from stigmer_cli.api.wire import Moment, Sent
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.phase import Phase


class ExecutionName(Sent):
    """One execution, without what may be long."""

    id: str
    agent: str
    phase: Phase
    created_at: Moment


class ExecutionNames(Sent):
    """Executions, newest first."""

    items: list[ExecutionName]


def execution_name(execution: Execution) -> ExecutionName:
    """`execution` as it goes over the wire."""
    return ExecutionName(
        id=execution.id, agent=execution.agent_name, phase=execution.phase, created_at=execution.created_at
    )
