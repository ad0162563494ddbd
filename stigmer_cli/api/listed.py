"""Agents and executions as far as a list shows them, read from the wire by hand.

To import pydantic and to build the models of `resources.py` takes longer than all the rest of a short command. The
fields have the names that they have there, and a test compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from stigmer_cli.api.plain_text import sentence_of, text_of_input
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor

Body = Mapping[str, object]
"""A JSON object."""


@dataclass(frozen=True, kw_only=True)
class ListedMetadata:
    """What names an agent or an execution."""

    id: str
    slug: str
    labels: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ListedExecutionSpec:
    """What was asked for."""

    runs: str
    asked: str


@dataclass(frozen=True, kw_only=True)
class ListedDispatch:
    """Where the execution is on its way to a run."""

    state: DispatchState
    detail: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class ListedCause:
    """Why only a person can decide."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ListedModelWait:
    """What the last try of its model met with."""

    cause: str
    since: datetime
    tries: int
    next_try_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ListedWaiting:
    """What it waits for while nobody works on it."""

    cause: str
    since: datetime
    until: datetime | None
    calls: Sequence[object]
    is_pause: bool


@dataclass(frozen=True, kw_only=True)
class ListedStuck:
    """Why it makes no progress."""

    kind: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class ListedExecutionStatus:
    """Where it stands."""

    phase: Phase
    error_text: str | None
    attempt: int
    runner: str | None
    started_at: datetime | None
    completed_at: datetime | None
    dispatch: ListedDispatch
    attention: ListedCause | None
    model_wait: ListedModelWait | None
    waiting: ListedWaiting | None


@dataclass(frozen=True, kw_only=True)
class ListedExecution:
    """An execution."""

    metadata: ListedMetadata
    spec: ListedExecutionSpec
    status: ListedExecutionStatus
    stuck: ListedStuck | None


@dataclass(frozen=True, kw_only=True)
class ListedAgentSpec:
    """What a person wrote about an agent."""

    model: str
    description: str


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """The newest execution of an agent."""

    at: datetime
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class ListedAgentStatus:
    """What an agent has run."""

    executions: int
    last_run: ListedRun | None


@dataclass(frozen=True, kw_only=True)
class ListedAgent:
    """An agent."""

    metadata: ListedMetadata
    spec: ListedAgentSpec
    status: ListedAgentStatus | None


def read_execution(body: Body) -> ListedExecution:
    """The execution that `body` is; raises KeyError, TypeError or ValueError where it is none."""
    spec, stuck = _object(body["spec"]), _optional(body, "stuck")
    return ListedExecution(
        metadata=_metadata(_object(body["metadata"])),
        spec=_execution_spec(spec),
        status=_execution_status(_object(body["status"])),
        stuck=ListedStuck(kind=_text(stuck["class"]), cause=_text(stuck["cause"])) if stuck else None,
    )


def read_agent(body: Body) -> ListedAgent:
    """The agent that `body` is; raises KeyError, TypeError or ValueError where it is none."""
    spec, status = _object(body["spec"]), _optional(body, "status")
    last = _optional(status, "lastRun") if status else None
    return ListedAgent(
        metadata=_metadata(_object(body["metadata"])),
        spec=ListedAgentSpec(model=_text(spec["model"]), description=_text(spec["description"])),
        status=ListedAgentStatus(
            executions=_number(status["executions"]),
            last_run=ListedRun(at=_moment(last["at"]), phase=Phase(_text(last["phase"]))) if last else None,
        )
        if status
        else None,
    )


def _metadata(body: Body) -> ListedMetadata:
    labels = {key: _text(value) for key, value in _object(body.get("labels", {})).items()}
    return ListedMetadata(
        id=_text(body["id"]), slug=_text(body["slug"]), labels=labels, created_at=_moment(body["createdAt"])
    )


def _execution_spec(body: Body) -> ListedExecutionSpec:
    workflow, agent = _text(body.get("workflowName", "")), _text(body.get("agentName", ""))
    message, is_omitted = _text(body.get("message", "")), body.get("inputOmitted") is True
    asked = (
        message if message and not body.get("workflowId") else text_of_input(body.get("input"), is_omitted=is_omitted)
    )
    return ListedExecutionSpec(runs=workflow or agent, asked=asked)


def _error_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str | dict):
        raise TypeError("no error")
    return sentence_of(value)


def _execution_status(body: Body) -> ListedExecutionStatus:
    attention, wait = _optional(body, "attention"), _optional(body, "modelWait")
    runner = body.get("runner")
    waiting = _optional(body, "waiting")
    return ListedExecutionStatus(
        phase=Phase(_text(body["phase"])),
        error_text=_error_text(body.get("error")),
        attempt=_number(body.get("attempt", 0)),
        runner=None if runner is None else _text(runner),
        started_at=_optional_moment(body, "startedAt"),
        completed_at=_optional_moment(body, "completedAt"),
        dispatch=_dispatch(_object(body["dispatch"])),
        attention=ListedCause(reason=_text(attention["reason"])) if attention else None,
        model_wait=_model_wait(wait) if wait else None,
        waiting=_waiting(waiting) if waiting else None,
    )


def _dispatch(body: Body) -> ListedDispatch:
    return ListedDispatch(
        state=DispatchState(_text(body["state"])),
        detail=_text(body.get("detail", "")),
        since=_moment(body["since"]),
    )


def _model_wait(body: Body) -> ListedModelWait:
    return ListedModelWait(
        cause=_text(body["cause"]),
        since=_moment(body["since"]),
        tries=_number(body["tries"]),
        next_try_at=_optional_moment(body, "nextTryAt"),
    )


def _waiting(body: Body) -> ListedWaiting:
    kind, calls = _text(body["for"]), body.get("calls", [])
    if not isinstance(calls, list):
        raise TypeError("calls that are no list")
    return ListedWaiting(
        cause=_text(body["cause"]),
        since=_moment(body["since"]),
        until=_optional_moment(body, "until"),
        calls=calls,
        is_pause=kind in list(WaitFor) and WaitFor(kind).is_pause,
    )


def _optional(body: Body, name: str) -> Body | None:
    found = body.get(name)
    return None if found is None else _object(found)


def _optional_moment(body: Body, name: str) -> datetime | None:
    found = body.get(name)
    return None if found is None else _moment(found)


def _object(value: object) -> Body:
    if not isinstance(value, dict):
        raise TypeError("no JSON object")
    return cast("Body", value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("no number")
    return value


def _moment(value: object) -> datetime:
    """The time; raises ValueError for one without a zone."""
    found = datetime.fromisoformat(_text(value))
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found
