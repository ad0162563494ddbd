"""Accepting an execution: one commit that nothing undoes, then a moment's wait for its run to start."""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.executions.bell import Bell, Ear
from stigmer_cli.executions.mint import Mint
from stigmer_cli.executions.ports import TemporalLink
from stigmer_cli.executions.reason import explained, unavailable, waiting
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.draft import ExecutionDraft
from stigmer_cli.store.store import Store

START_WAIT_MAX_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants run. `policy` overrides the server's for this one, `id` is what a new one is called."""

    agent: str
    message: str
    timeout_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    id: ExecutionId | None = None
    policy: SubmitPolicy | None = None


class Nudge(Protocol):
    """The dispatcher as this use case sees it."""

    def nudge(self) -> None:
        """Something is due: look now."""


class Acceptor:
    """Writes down what is wanted, and says how far it has come within `START_WAIT_MAX_S`."""

    def __init__(
        self, store: Store, link: TemporalLink, dispatcher: Nudge, bell: Bell, *, clock: Clock, mint: Mint
    ) -> None:
        self._store = store
        self._link = link
        self._dispatcher = dispatcher
        self._bell = bell
        self._clock = clock
        self._mint = mint

    async def accept(self, wish: Wish, *, policy: SubmitPolicy) -> Execution:
        """The execution, submitted or with the reason why it is not yet.

        Raises TemporalUnavailable, with nothing written, under `fail-fast` while Temporal is not connected; NotFound
        for an unknown agent; Conflict for an idempotency key that was used for something else.
        """
        if (wish.policy or policy) is SubmitPolicy.FAIL_FAST:
            refusal = unavailable(self._link.status(), self._clock.now())
            if refusal:
                raise refusal
        draft = await self._draft(wish)
        held = waiting(self._link.status())
        reason, detail = (held.reason, held.detail) if held else (QueueReason.ACCEPTED, "")
        with self._bell.listening(draft.id) as ear:
            accepted = await self._store.executions.accept(draft, reason=reason, detail=detail)
            if not accepted.is_new:
                return explained(accepted.execution, self._link.status())
            self._dispatcher.nudge()
            return await self._started(draft.id, ear)

    async def _draft(self, wish: Wish) -> ExecutionDraft:
        agent = await self._store.agents.get(wish.agent)
        return ExecutionDraft(
            id=wish.id or self._mint.execution_id(Kind.AGENT),
            kind=Kind.AGENT,
            agent_id=agent.id,
            agent_name=agent.slug,
            message=wish.message,
            timeout_s=wish.timeout_s,
            labels=wish.labels,
            idempotency_key=wish.idempotency_key,
            request_hash=_request_hash(wish),
        )

    async def _started(self, execution_id: ExecutionId, ear: Ear) -> Execution:
        """The execution once it is submitted, or when it is clear that this takes longer."""
        deadline = self._clock.monotonic() + START_WAIT_MAX_S
        while True:
            execution = await self._store.executions.get(execution_id)
            left_s = deadline - self._clock.monotonic()
            is_settled = execution.dispatch.is_submitted or execution.attention is not None
            if is_settled or left_s <= 0 or waiting(self._link.status()):
                return explained(execution, self._link.status())
            await ear.heard(within_s=left_s)


def _request_hash(wish: Wish) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(wish.labels.items()))
    text = "\x00".join((wish.agent, wish.message, str(wish.timeout_s), labels))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
