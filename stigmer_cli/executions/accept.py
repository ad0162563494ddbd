"""Accepting an execution: one commit that nothing undoes, then a short wait for its run to start."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind
from stigmer_cli.errors import Conflict, ServerBusy
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier, Subscription
from stigmer_cli.executions.reason import explain_wait, find_hold, refuse_while_unavailable
from stigmer_cli.executions.temporal_api import TemporalLink
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.children import DEPTH_MAX, list_child_ids
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.forking import Fork
from stigmer_cli.store.store import Store

LATEST = "latest"
"""Instead of a version: the document that was applied last."""

START_WAIT_MAX_S = 0.8
"""From the arrival of the request: with the time of the answer itself, a client has it within a second."""


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """A request to run an agent, or a `workflow` whose input (JSON text) is `message`.

    `policy` overrides the server's for this one, `id` is what a new one is called.

    `version` is that of the workflow's document; None: as it was applied last. `parent` waits for its end, and
    `started_by` does not.

    `fork`: whose recorded steps it takes over. `session`: the one that it joins. `conversation_of`: it sees what this
    execution sees of a conversation.
    """

    agent: str
    message: str
    timeout_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    id: ExecutionId | None = None
    policy: SubmitPolicy | None = None
    fork: Fork | None = None
    session: str | None = None
    limits: Mapping[str, object] = field(default_factory=dict)
    conversation_of: ExecutionId | None = None
    workflow: str | None = None
    version: str | None = None
    parent: ExecutionId | None = None
    started_by: ExecutionId | None = None


@dataclass(frozen=True, kw_only=True)
class _Definition:
    """The agent or the workflow that a request names; `version_id` is the document of a workflow."""

    kind: Kind
    id: AgentId
    name: str
    version_id: str | None = None


class Nudge(Protocol):
    """The dispatcher as this use case sees it."""

    def nudge(self) -> None:
        """Something is due: look now."""


class Acceptor:
    """Writes the execution's row, and returns how far it has come within `START_WAIT_MAX_S` of the request."""

    def __init__(  # noqa: PLR0913 - what it joins
        self,
        store: Store,
        link: TemporalLink,
        dispatcher: Nudge,
        notifier: Notifier,
        *,
        admission: Admission,
        clock: Clock,
        ids: IdGenerator,
    ) -> None:
        self._store = store
        self._link = link
        self._dispatcher = dispatcher
        self._notifier = notifier
        self._admission = admission
        self._clock = clock
        self._ids = ids

    async def accept(self, request: SubmitRequest, *, policy: SubmitPolicy, waited_s: float = 0.0) -> Execution:
        """The execution, submitted or with the reason why it is not yet; the request arrived `waited_s` ago.

        Raises ServerBusy, with nothing written, where more are sent than are performed, or the store's writer has no
        time for it.
        Raises TemporalUnavailable, with nothing written, under `fail-fast` while Temporal is not connected; NotFound
        for an unknown agent or workflow; Conflict for an idempotency key that was used for something else, and for a
        workflow's name that several have.
        """
        if (request.policy or policy) is SubmitPolicy.FAIL_FAST:
            refusal = refuse_while_unavailable(self._link.status(), self._clock.now())
            if refusal:
                raise refusal
        self._store.refuse_if_full()
        await self._admit(request)
        answer_by_s = self._clock.monotonic() - waited_s + START_WAIT_MAX_S
        draft = await self._make_draft(request)
        held = find_hold(self._link.status())
        reason, detail = (held.reason, held.detail) if held else (QueueReason.ACCEPTED, "")
        with self._notifier.subscribe(draft.id) as subscription:
            accepted = await self._store.executions.accept(draft, reason=reason, detail=detail)
            if not accepted.is_new:
                return explain_wait(accepted.execution, self._link.status())
            self._dispatcher.nudge()
            subscription.skip_first()
            return await self._wait_started(accepted.execution, subscription, answer_by_s)

    async def accept_child(self, request: SubmitRequest, key: str) -> Execution:
        """The execution for the step `key` of `request.parent`, which is accepted unless it was before.

        Instead of a parent it has `started_by`, where nobody waits for it. Raises what `accept` does, except for
        TemporalUnavailable; and Conflict where another request was accepted for this step, too many wait for each other
        or have started each other, or no document of the workflow has that version.
        """
        starter = request.parent or request.started_by
        if starter is None:
            raise ValueError("a child has a parent, or one that starts it")
        request, is_known = await self._name_child(request, starter, key)
        if is_known and request.id is not None:
            return await self._store.executions.get(request.id)
        parent = request.parent
        if parent is not None and await self._store.children.find_depth(parent) + 1 >= DEPTH_MAX:
            raise Conflict(f"more than {DEPTH_MAX} executions would wait for each other in a chain")
        draft = await self._make_draft(request)
        accepted = await self._store.executions.accept(draft, reason=QueueReason.ACCEPTED, detail="")
        self._dispatcher.nudge()
        return accepted.execution

    async def _name_child(self, request: SubmitRequest, starter: ExecutionId, key: str) -> tuple[SubmitRequest, bool]:
        """The request with the id of the execution that the step starts now, and whether that was accepted before.

        Raises Conflict where that was another request.
        """
        ids = list_child_ids(starter, key, Kind.WORKFLOW if request.workflow else Kind.AGENT)
        known = await self._store.children.find(ids)
        own = {id_ for id_, one in known.items() if one.parent == request.parent and not one.is_replaced}
        its_own = next((id_ for id_ in ids if id_ in own), None)
        if its_own is not None:
            if known[its_own].request_hash != _request_hash(request):
                raise Conflict(f"step {key} of {starter} asked for something else when it started {its_own}")
            return replace(request, id=its_own), True
        behind = [id_ for number, id_ in enumerate(ids) if known.keys().isdisjoint(ids[number:])]
        if not behind:
            raise Conflict(f"step {key} of {starter} has started {len(ids)} executions one after the other")
        return replace(request, id=behind[0]), False

    async def _admit(self, request: SubmitRequest) -> None:
        """Let it in, also where there is no room if it was accepted before: the answer says so."""
        try:
            self._admission.admit()
        except ServerBusy:
            key = request.idempotency_key
            if key is None or not await self._store.executions.has_key(key):
                raise

    async def _make_draft(self, request: SubmitRequest) -> ExecutionDraft:
        definition = await self._find_definition(request)
        return ExecutionDraft(
            id=request.id or self._ids.execution_id(definition.kind),
            kind=definition.kind,
            agent_id=definition.id,
            agent_name=definition.name,
            version_id=definition.version_id,
            message=request.message,
            timeout_s=request.timeout_s,
            labels=request.labels,
            idempotency_key=request.idempotency_key,
            request_hash=_request_hash(request),
            fork=request.fork,
            session=request.session,
            limits=request.limits,
            conversation_of=request.conversation_of,
            parent=request.parent,
            started_by=request.started_by,
        )

    async def _find_definition(self, request: SubmitRequest) -> _Definition:
        """What it runs. Raises NotFound, and Conflict where a name or a version says not which one."""
        if request.workflow is None:
            agent = await self._store.agents.get(request.agent)
            return _Definition(kind=Kind.AGENT, id=agent.id, name=agent.slug)
        workflow = await self._store.workflows.get(request.workflow)
        version_id = workflow.version_id
        if request.version not in (None, LATEST, workflow.version):
            version_id = await self._store.workflows.find_version(workflow, str(request.version))
        return _Definition(kind=Kind.WORKFLOW, id=workflow.id, name=workflow.name, version_id=version_id)

    async def _wait_started(self, execution: Execution, subscription: Subscription, answer_by_s: float) -> Execution:
        """The execution once it is submitted, or when it is clear that this takes longer."""
        while True:
            left_s = answer_by_s - self._clock.monotonic()
            has_to_wait = execution.attention is not None or execution.dispatch.reason is QueueReason.SESSION_BUSY
            is_settled = execution.dispatch.is_submitted or has_to_wait
            if is_settled or left_s <= 0 or find_hold(self._link.status()):
                return explain_wait(execution, self._link.status())
            has_changed = await subscription.wait(within_s=left_s)
            if has_changed or self._store.is_shared:  # of what another server writes nobody is told here
                execution = await self._store.executions.get(execution.id)


def _request_hash(request: SubmitRequest) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(request.labels.items()))
    fork = (request.fork.source, request.fork.before) if request.fork else ()
    named = {"session": request.session, "conversation-of": request.conversation_of, "workflow": request.workflow}
    if request.fork and request.fork.asks:
        named["asks"] = request.fork.before
    more = [f"{name}={value}" for name, value in named.items() if value is not None]
    more += [f"limits={json.dumps(dict(request.limits), sort_keys=True)}"] if request.limits else []
    text = "\x00".join((request.agent, request.message, str(request.timeout_s), labels, *fork, *more))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
