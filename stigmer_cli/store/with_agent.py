"""Executions together with their agents, in one statement: what an attempt has to do is in both."""

from dataclasses import dataclass

from sqlalchemy import RowMapping, bindparam, select

from stigmer_cli.domain.execution import Agent, Execution
from stigmer_cli.store.mapping import agent_of, execution_of
from stigmer_cli.store.tables import agents, executions, steps

_PREFIX = "of_agent_"

HAS_STEPS = select(steps.c.seq).where(steps.c.execution_id == executions.c.id).exists().label("has_steps")
WITH_AGENT = (
    select(executions, HAS_STEPS, *(column.label(_PREFIX + column.name) for column in agents.c))
    .outerjoin_from(executions, agents, agents.c.id == executions.c.agent_id)
    .where(executions.c.id == bindparam("id"))
)
LOCKED_WITH_AGENT = WITH_AGENT.with_for_update(of=executions)


@dataclass(frozen=True, kw_only=True)
class WithAgent:
    """An execution without its messages, and its agent; None: it was deleted."""

    execution: Execution
    agent: Agent | None


def with_agent_of(row: RowMapping) -> WithAgent:
    """Both, from a row of `WITH_AGENT`."""
    agent = {column.name: row[_PREFIX + column.name] for column in agents.c}
    return WithAgent(execution=execution_of(row), agent=None if agent["id"] is None else agent_of(agent))
