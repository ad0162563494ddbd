"""Prints a page about one execution."""

import json
from collections.abc import Sequence

from rich.console import Console

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason
from stigmer_cli.cli.executions.spans import Span, print_spans
from stigmer_cli.cli.executions.steps import print_steps
from stigmer_cli.cli.executions.task_tree import print_tasks
from stigmer_cli.cli.executions.tokens import describe_usage, has_tokens
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType


def print_execution(
    console: Console,
    item: ExecutionResource,
    events: Sequence[EventBody],
    spans: Sequence[Span],
    *,
    link: str | None = None,
) -> None:
    """Print its phase and the reason, message, output, time, steps, timeline; `link`: its page in Temporal's web UI."""
    status = item.status
    next_try_at = status.model_wait.next_try_at if status.model_wait else status.dispatch.next_try_at
    rows: list[tuple[str, str | None]] = [
        ("id", item.metadata.id),
        *_what_runs(item),
        ("session", item.spec.session),
        ("phase", status.phase),
        ("why", describe_reason(item)),
        ("created", iso(item.metadata.created_at)),
        ("started", iso(status.started_at) if status.started_at else None),
        ("completed", iso(status.completed_at) if status.completed_at else None),
        ("tokens", describe_usage(status.usage) if status.usage and has_tokens(status.usage) else None),
        ("next try", iso(next_try_at) if next_try_at else None),
        ("in Temporal" if item.spec.workflow_id else "workflow", status.dispatch.workflow_id),
        ("run", status.dispatch.run_id),
        ("web UI", link if status.dispatch.run_id else None),
        ("input" if item.spec.workflow_id else "message", item.spec.asked),
        ("output", status.answer),
        ("partial", _join_answer(item) if status.output is None and status.phase.is_terminal else None),
    ]
    width = 13 if item.spec.workflow_id else 11
    for name, value in rows:
        if value:
            style = PHASE_STYLES[status.phase] if name == "phase" else ""
            shown = f"[{style}]{value}[/]" if style else escape_markup(value)
            console.print(f"[bold]{name + ':':<{width}}[/]{shown}", soft_wrap=True)
    for call in status.waiting.calls if status.waiting else ():
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        console.print(f"[bold]{'asks:':<11}[/]{escape_markup(f'{call.step} {call.tool} {arguments}')}", soft_wrap=True)
    print_spans(console, spans)
    print_tasks(console, item, spans[-1].until if spans else item.metadata.created_at)
    print_steps(console, item, spans[-1].until if spans else item.metadata.created_at)
    console.print("[bold]timeline:[/]")
    for event in events:
        if event.type is not EventType.MESSAGE:
            console.print(f"  {iso(event.at)}  {escape_markup(event.text)}", soft_wrap=True)


def _what_runs(item: ExecutionResource) -> list[tuple[str, str | None]]:
    """The agent or the workflow, with its id."""
    if item.spec.workflow_id:
        return [("workflow", f"{item.spec.workflow_name} ({item.spec.workflow_id})")]
    return [("agent", f"{item.spec.agent_name} ({item.spec.agent_id})")]


def _join_answer(item: ExecutionResource) -> str:
    """What was answered before the execution ended without an output."""
    return "\n".join(message.content for message in item.status.messages if message.role == "assistant")
