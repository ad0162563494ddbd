"""Sessions on the wire: conversations with an agent, and what of one an execution sees."""

from collections.abc import Sequence

from stigmer_cli.api.wire import Moment, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import Exchange, Session

LAST_MESSAGE_MAX = 200
"""How many characters of the last message a list shows."""


class ExchangeBody(Sent):
    """What was asked in an execution, and answered; `turns` is how many answers of the model that took."""

    execution: str
    message: str
    output: str
    turns: int = 1


class LastInSession(Sent):
    """The last execution of a session, and the beginning of its message."""

    id: str
    phase: Phase
    message: str


class SessionBody(Sent):
    """A session: `executions` counts those in it, and `updatedAt` is when the last one was accepted."""

    name: str
    agent_name: str
    created_at: Moment
    updated_at: Moment
    executions: int
    last: LastInSession


class SessionPage(Sent):
    """Sessions, the one that was used last first; `next_cursor` is what `cursor` takes for the page after."""

    items: list[SessionBody]
    next_cursor: str | None = None


class DeletedSession(Sent):
    """A session that was deleted, and how many executions with it."""

    name: str
    executions: int


def session_body(session: Session) -> SessionBody:
    """`session` as it goes over the wire."""
    message = session.last_message[:LAST_MESSAGE_MAX]
    return SessionBody(
        name=session.name,
        agent_name=session.agent_name,
        created_at=session.created_at,
        updated_at=session.updated_at,
        executions=session.executions,
        last=LastInSession(id=session.last, phase=session.last_phase, message=message),
    )


def exchange_bodies(exchanges: Sequence[Exchange]) -> list[ExchangeBody]:
    """`exchanges` as they go to a runner."""
    return [
        ExchangeBody(execution=one.execution, message=one.message, output=one.output, turns=one.turns)
        for one in exchanges
    ]
