"""How many attempts of a run there were, from its timeline."""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId, runner_process
from stigmer_cli.domain.step import StepState
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.tables import events, executions
from stigmer_cli.store.tables import steps as steps_table

FIRST_ATTEMPT = 1
"""Which attempt the claim began, unless that was one whose forerunners died without a word."""

_ITS = events.c.execution_id == bindparam("id")
_PROGRESSED = select(func.max(steps_table.c.attempt)).where(
    steps_table.c.execution_id == bindparam("id"),
    steps_table.c.epoch == executions.c.epoch,
    steps_table.c.run == executions.c.claimed_run,
    steps_table.c.state.in_((StepState.DONE, StepState.FAILED)),
    executions.c.id == bindparam("id"),
)
_CLAIMED = select(func.max(events.c.seq)).where(_ITS, events.c.type == EventType.CLAIMED).scalar_subquery()
_ATTEMPTS = (
    select(events.c.type, events.c.data)
    .where(
        _ITS,
        events.c.type.in_((EventType.CLAIMED, EventType.ATTEMPT, EventType.MODEL_BUSY)),
        events.c.seq >= _CLAIMED,
    )
    .order_by(events.c.seq)
)


@dataclass(frozen=True, kw_only=True)
class AttemptCounts:
    """How many attempts of a run have begun, and in how many runner processes, without those that met a busy model.

    Those are `model_tries`, and the answer broke off in `broken_off` of them: their runners did not die of anything.
    `model_busy_s` is for how long the model had been busy when the last of them was to be followed by the next attempt.

    `progressed` is the last attempt that recorded a step, 0 if none did; attempts before it are not counted: whatever
    ended them, the execution got past it.
    """

    begun: int
    processes: int
    model_tries: int = 0
    broken_off: int = 0
    model_busy_s: float = 0.0
    progressed: int = 0


async def count_attempts(connection: AsyncConnection, execution_id: ExecutionId) -> AttemptCounts:
    """The attempts of the run that holds `execution_id`, at least 1 in 1 process."""
    found = (await connection.execute(_ATTEMPTS, {"id": execution_id})).all()
    progressed = int(await connection.scalar(_PROGRESSED, {"id": execution_id}) or 0)
    runners: list[str] = []
    tries, broken_off, busy_s = 0, 0, 0.0
    for type_, data in found:
        if data.get("attempt", FIRST_ATTEMPT) < progressed:
            continue
        if type_ == EventType.MODEL_BUSY:
            runners[-1:] = []  # the attempt that ended so
            tries, broken_off, busy_s = tries + 1, broken_off + bool(data["brokeOff"]), float(data["busyS"])
        else:
            runners.append(data["runner"])
    return AttemptCounts(
        begun=max(1, len(runners)),
        processes=max(1, len({runner_process(runner) for runner in runners})),
        model_tries=tries,
        broken_off=broken_off,
        model_busy_s=busy_s,
        progressed=progressed,
    )
