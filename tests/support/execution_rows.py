"""Rows as tests need them: an execution in any state, written in one line."""

from dataclasses import replace
from datetime import datetime, timedelta

from stigmer_cli.domain.execution import Dispatch, Execution
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, RunId
from stigmer_cli.domain.phase import Phase
from tests.support.fakes import START
from tests.support.ids import STORE

ID = ExecutionId("aex-01kqrxnp6m8w8t6e3d2m5k7j9z")


def row(
    phase: Phase = Phase.PENDING,
    *,
    execution: ExecutionId = ID,
    submitted_s_ago: float | None = None,
    now: datetime = START,
    attempts: int = 0,
) -> Execution:
    """An execution in `phase`, created an hour before `now`; `submitted_s_ago` None: never submitted."""
    created_at = now - timedelta(hours=1)
    dispatch = Dispatch(since=created_at, attempts=attempts)
    if submitted_s_ago is not None:
        submitted_at = now - timedelta(seconds=submitted_s_ago)
        dispatch = replace(dispatch, submitted_at=submitted_at, run_id=RunId("run-1"))
    return Execution(
        id=execution,
        store=STORE,
        kind=Kind.AGENT,
        agent_id=AgentId("agt-01kqrxnp6m8w8t6e3d2m5k7j9z"),
        agent_name="greeter",
        message="hello",
        phase=phase,
        epoch=1,
        version=3,
        created_at=created_at,
        dispatch=dispatch,
    )
