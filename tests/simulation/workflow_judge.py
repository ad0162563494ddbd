"""What must be true of the executions of workflows at the end: output, steps, waits, events and children."""

import json
from collections.abc import Mapping, Sequence

from stigmer_cli.api.steps import contents_body
from stigmer_cli.domain.execution import Event, EventType, Execution
from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepState
from stigmer_cli.server.routes.children import PARENT_LABEL
from stigmer_cli.store.children import make_child_id
from stigmer_cli.store.store import Store
from tests.chaos.journals import Journal
from tests.chaos.workflow_documents import ChaosWorkflow
from tests.chaos.workflow_journals import RETRIED, find_wrong
from tests.simulation.runner import Ledger
from tests.simulation.workflow_documents import CHILDREN, FAMILY, REFUSED, SPANS, WORKFLOWS

LATE_MAX_S = 200.0
"""How much later than it should a wait may end among faults: none of them lasts longer than a minute."""

CHILD_FAILED = "did not complete"


async def wrong_workflow(
    store: Store, row: Execution, events: Sequence[Event], rows: Mapping[ExecutionId, Execution], ledger: Ledger
) -> Sequence[str]:
    """What is wrong with an execution of a workflow, as sentences.

    Of a step that lost a race nobody knows whether it took effect where its runner died before: it stays UNKNOWN.
    """
    workflow = WORKFLOWS[row.agent_name]
    journal = await _read_journal(store, row, workflow, ledger)
    wrong = [*_wrong_end(row, workflow, rows), *_wrong_waits(events), *_wrong_children(row, journal, rows)]
    asked = [key for (id_, key), allowed in ledger.steps.allowed.items() if id_ == row.id and allowed]
    repeated = {RETRIED.sub("/try", key) for key in asked}
    found = find_wrong(journal, is_completed=row.phase is Phase.COMPLETED, repeated=repeated)
    wrong += [found] if found else []
    if row.phase is Phase.COMPLETED:
        wrong += [
            f"COMPLETED, and {step.key} (once) is {step.state}"
            for step in journal.in_the_air
            if step.state is StepState.BEGUN or not workflow.calls[step.key].is_optional
        ]
        if not any(event.type is EventType.ATTENTION for event in events):
            wrong += _wrong_spans(row, ledger)
    return wrong


async def _read_journal(store: Store, row: Execution, workflow: ChaosWorkflow, ledger: Ledger) -> Journal:
    steps = {step.key: contents_body(step) for step in await store.steps.list(row.id, after=0, limit=1_000)}
    results: dict[str, str | None] = {}
    after: int | None = 0
    while after is not None:
        page = await store.steps.read_recorded(row.id, after=after)
        results |= {item.step.key: item.result for item in page.items}
        after = page.next_after
    return Journal(execution=row.id, agent=workflow, steps=steps, results=results, effects=ledger.tools.lines)


def _wrong_end(row: Execution, workflow: ChaosWorkflow, rows: Mapping[ExecutionId, Execution]) -> Sequence[str]:
    order = json.loads(row.message)["order"]
    if row.phase is Phase.COMPLETED:
        expected = workflow.output(order)
        if workflow is REFUSED:
            return ["it completed, and should have failed"]
        given = json.loads(row.output or "null")
        return [] if given == expected else [f"its output is {given}, not {expected}"]
    if row.phase is not Phase.FAILED or "terminated" in (row.error or ""):
        return []
    if workflow is REFUSED:
        status = json.loads(row.error_fields or "{}").get("status")
        return [] if status == 409 else [f"it failed with {status}: {row.error}"]
    has_failed_child = any(child.phase in (Phase.FAILED, Phase.CANCELLED) for child in _children_of(row, rows))
    if workflow is FAMILY and CHILD_FAILED in (row.error or "") and has_failed_child:
        return []
    return [f"it failed: {row.error}"]


def _wrong_waits(events: Sequence[Event]) -> Sequence[str]:
    """Each wait ends once."""
    is_waiting, wrong = False, []
    for event in events:
        if event.type is EventType.WAITING:
            is_waiting = True
        elif event.type is EventType.RESUMED:
            if event.data.get("waited") and not is_waiting:
                wrong.append("it was woken twice out of one wait")
            is_waiting = False
    return wrong


def _children_of(row: Execution, rows: Mapping[ExecutionId, Execution]) -> Sequence[Execution]:
    return [child for child in rows.values() if child.labels.get(PARENT_LABEL) == row.id]


def _wrong_children(row: Execution, journal: Journal, rows: Mapping[ExecutionId, Execution]) -> Sequence[str]:
    """Each step has one execution, and its result is the output of that one."""
    keys = CHILDREN.get(row.agent_name, ())
    expected = {make_child_id(row.id, key, kind): key for key in keys for kind in (Kind.AGENT, Kind.WORKFLOW)}
    children = _children_of(row, rows)
    wrong = [f"{child.id} is no execution that it waits for" for child in children if child.id not in expected]
    if row.phase is not Phase.COMPLETED:
        return wrong
    if len(children) != len(keys):
        wrong.append(f"it had {len(children)} executions, not {len(keys)}")
    for child in children:
        key = expected.get(child.id, "")
        result = json.loads(journal.results.get(key) or "null")
        output = json.loads(child.output or "null") if child.kind is Kind.WORKFLOW else child.output
        if child.phase is not Phase.COMPLETED or result != output:
            wrong.append(f"{key} gave {result}, and {child.id} is {child.phase} with {output}")
    return wrong


def _wrong_spans(row: Execution, ledger: Ledger) -> Sequence[str]:
    wrong = []
    for span in SPANS.get(row.agent_name, ()):
        before, after = [
            [line.at_s for line in ledger.tools.lines.get(idempotency_key(row.id, key), ())]
            for key in (span.since, span.until)
        ]
        if not before or not after:  # a call that did not get through, which the workflow went on past
            continue
        took_s = min(after) - max(before)
        late_s = took_s - span.seconds
        if late_s < 0 or (late_s % span.seconds if span.repeats else late_s) > LATE_MAX_S:
            wrong.append(f"{span.until} came {took_s:.0f} s after {span.since}, not {span.seconds:.0f}")
    return wrong
