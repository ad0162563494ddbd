"""A server in memory that keeps the journal of workflows, and evaluates no expression in a process of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import jq
from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse, NumberedEvent, queries_of
from stigmer_cli.api.reports import Work
from stigmer_cli.api.steps import (
    BeginStepResponse,
    CutOffRequest,
    CutOffResponse,
    StepContentsBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.tasks import WorkflowWork
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RECORDED, BeginAnswer, Effect, StepState
from stigmer_cli.errors import Unavailable
from stigmer_cli.workflow.expression.child import Answer, Question
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from tests.support.fakes_runner import InMemoryReports, Row
from tests.support.workflows import STARTED_MS, read_one

PAGE = 3
"""So few steps stand on a page that most replays read several."""


class LocalEvaluator(Evaluator):
    """Evaluates in this process, which takes no time of any clock."""

    async def _ask(self, question: Question, what: str, program: bytes, given: bytes) -> tuple[Answer, bytes]:
        assert question is Question.EXPRESSION, what
        if b"unavailable" in program:
            raise Unavailable(f"{what}: the machine is too busy")
        if b"broken" in program:
            raise OSError(what)
        return Answer.DONE, "\n".join(jq.compile(program.decode()).input_text(given.decode())).encode()


@dataclass
class KeptStep:
    """A step as this server keeps it."""

    draft: StepDraftBody
    attempt: int
    state: StepState = StepState.BEGUN
    result: str | None = None
    error: str | None = None
    ended: int = 0
    """The how many-th of its execution to end; 0: it has not."""


@dataclass
class WorkflowRow(Row):
    """An execution of a workflow."""

    journal: dict[str, KeptStep] = field(default_factory=dict)
    pages_read: int = 0


class WorkflowReports(InMemoryReports):
    """The rules of the real journal, for one attempt at a time, and events, all of which every execution sees."""

    def __init__(self) -> None:
        super().__init__()
        self.cut_offs = 0
        self.events: list[Mapping[str, object]] = []
        self.asked_children: list[ChildRequest] = []
        self.children: dict[str, ChildResponse] = {}

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        queries = queries_of(request.queries)
        found = [
            NumberedEvent.model_validate({"seq": seq, "event": event})
            for seq, event in enumerate(self.events, start=1)
            if seq > (request.after or 0) and any(query.fits(event) for query in queries)
        ]
        self._row(execution)
        return ListenResponse(events=found, upto=len(self.events), is_last=True)

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        self._row(execution)
        self.asked_children.append(request)
        return self.children.setdefault(request.key, ChildResponse(id=f"child-{len(self.children)}"))

    def refuse_child(self, key: str, why: str) -> None:
        """No execution can be accepted for the step."""
        self.children[key] = ChildResponse(refused=why)

    def end_child(self, key: str, phase: Phase, output: JsonValue = None, error: str | None = None) -> None:
        """The execution that the step waits for ends so."""
        self.children[key] = ChildResponse(id=self.children[key].id, phase=phase, output=output, error=error)

    async def publish(self, event: Mapping[str, object]) -> None:
        if not any((event["source"], event["id"]) == (one["source"], one["id"]) for one in self.events):
            self.events.append(event)

    def add_workflow(
        self, execution: str, text: str, given: Json = None, *, tasks_max: int = 10_000, started_ms: int = STARTED_MS
    ) -> WorkflowRow:
        workflow = WorkflowWork(
            document=read_one(text).data,
            input=given,
            started_ms=started_ms,
            runtime_version="1.0",
            tasks_max=tasks_max,
        )
        work = Work(
            instructions="", message="", model="", agent_name="w", has_steps=True, can_wait=True, workflow=workflow
        )
        row = self.rows[execution] = WorkflowRow(work=work)
        return row

    async def begin_step(  # type: ignore[override]
        self, execution: str, *, attempt: int, step: StepDraftBody, **_run: object
    ) -> BeginStepResponse:
        row = self._workflow(execution)
        if attempt != row.attempt:
            return BeginStepResponse(answer=BeginAnswer.STALE)
        kept = row.journal.get(step.key)
        if kept is not None and kept.state in RECORDED:
            assert kept.draft.input_hash == step.input_hash, f"{step.key} has another input than before"
            return BeginStepResponse(
                answer=BeginAnswer.RECORDED, state=kept.state, result=kept.result, error=kept.error
            )
        if kept is not None and kept.draft.nonce != step.nonce and kept.draft.effect is Effect.ONCE:
            return BeginStepResponse(answer=BeginAnswer.UNKNOWN, reason=f"{step.key} may have taken effect")
        row.journal[step.key] = KeptStep(draft=step, attempt=attempt)
        return BeginStepResponse(answer=BeginAnswer.GO)

    async def finish_step(  # type: ignore[override]
        self, execution: str, *, attempt: int, step: StepDraftBody, end: StepEndBody, **_run: object
    ) -> bool:
        row = self._workflow(execution)
        if attempt != row.attempt:
            return False
        kept = row.journal.setdefault(step.key, KeptStep(draft=step, attempt=attempt))
        assert kept.draft.nonce == step.nonce or kept.state is StepState.BEGUN, f"{step.key} is recorded already"
        kept.state, kept.result, kept.error = end.state, end.result, end.error
        kept.ended = 1 + max(one.ended for one in row.journal.values())
        return True

    async def cut_off_steps(self, execution: str, request: CutOffRequest) -> CutOffResponse:
        row = self._workflow(execution)
        if request.attempt != row.attempt:
            return CutOffResponse(taken=False)
        self.cut_offs += 1
        left = 0
        for kept in row.journal.values():
            if kept.state is not StepState.BEGUN or kept.draft.effect is not Effect.ONCE:
                continue
            if any(kept.draft.key == key or kept.draft.key.startswith(f"{key}/") for key in request.below):
                kept.state, kept.result, kept.error = request.end.state, request.end.result, request.end.error
            else:
                left += kept.attempt != row.attempt
        return CutOffResponse(taken=True, left=left)

    async def read_recorded_steps(self, execution: str, *, after: int, **_page: object) -> StepPage:  # type: ignore[override]
        row = self._workflow(execution)
        row.pages_read += 1
        numbered = [(number, kept) for number, kept in enumerate(row.journal.values(), 1) if number > after]
        items = [_contents(number, kept) for number, kept in numbered[:PAGE] if kept.state in RECORDED]
        return StepPage(items=items, next_after=numbered[PAGE - 1][0] if len(numbered) > PAGE else None)

    def end_timer(self, execution: str) -> None:
        """The time has come that the execution waits for: its timer is done, and the next attempt may begin."""
        row = self._workflow(execution)
        timer = row.waits[-1].timer
        assert timer is not None
        row.journal[timer.key] = KeptStep(draft=timer, attempt=row.attempt, state=StepState.DONE, result="null")

    def _workflow(self, execution: str) -> WorkflowRow:
        row = self._row(execution)
        assert isinstance(row, WorkflowRow)
        return row


def _contents(number: int, kept: KeptStep) -> StepContentsBody:
    draft = kept.draft
    return StepContentsBody(
        number=number,
        key=draft.key,
        kind=draft.kind,
        name=draft.name,
        state=kept.state,
        effect=draft.effect,
        attempts=1,
        started_at=datetime.now(UTC),
        input_hash=draft.input_hash,
        result=kept.result,
        error=kept.error,
    )


def list_tasks(row: Row) -> dict[str, str]:
    """The last phase of each task that was reported, in the order in which they began."""
    return {task.key: str(task.phase) for report in row.tasks for task in report}


def output_of(row: Row) -> Json:
    """The output of an execution that completed."""
    assert row.output is not None, (row.phase, row.error)
    found: Json = json.loads(row.output)
    return found
