"""Arguments and options that several commands about executions share; cheap to import, as every command line does."""

from typing import Annotated

import typer

from stigmer_cli.cli.executions.options import Selection
from stigmer_cli.cli.parameters import parse_label_option, parse_session_option, parse_span_option, parse_timeout_option
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase

ExecutionName = Annotated[
    str, typer.Argument(metavar="ID", help="The execution's id, four or more characters of it, or @last.")
]
Phases = Annotated[
    list[Phase] | None,
    typer.Option(
        "--phase", case_sensitive=False, metavar="PHASE", help=f"Only this phase: {', '.join(Phase)}. May be repeated."
    ),
]
Kinds = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", case_sensitive=False, metavar="KIND", help="Only this kind: agent or workflow. May be repeated."
    ),
]
AgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="Only executions of this agent, by name or id.")
]
WorkflowOption = Annotated[
    str | None,
    typer.Option(
        "--workflow", metavar="WORKFLOW", help="Only executions of this workflow: NAME, NAMESPACE/NAME or id."
    ),
]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="SESSION", help="Only executions of this session.")
]
NewSession = Annotated[
    str | None,
    typer.Option(
        "--session",
        parser=parse_session_option,
        metavar="SESSION",
        help="The session that this belongs to: the agent sees what was said before. A new name begins one.",
    ),
]
Waiting = Annotated[
    bool,
    typer.Option("--waiting", help="Only those that wait for you, a time or an event, while nobody works on them."),
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        parser=parse_span_option,
        metavar="SPAN",
        help="Only executions older than SPAN: 90s, 10m, 2h, 1d.",
        show_default=False,
    ),
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return once the execution is accepted.")]
RunTimeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=parse_timeout_option,
        metavar="SPAN",
        help="How long to wait for the end; the execution itself continues. "
        "A server that is away is waited for at least 15s.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="If an execution with this key exists, follow it and start none. For scripts that may run twice.",
    ),
]
NewLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        parser=parse_label_option,
        metavar="LABEL",
        help="A label of the execution, key=value, to find it by. May be repeated.",
    ),
]
FromStep = Annotated[
    str | None, typer.Option("--from", metavar="STEP", help="Perform this step again, and what began after it.")
]
LimitOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="LIMIT",
        help="A limit of this execution, NAME=N: turns, toolCalls, tokens, seconds, or money (US dollars). "
        "May be repeated.",
    ),
]
RequireTemporal = Annotated[
    bool, typer.Option("--require-temporal", help="Refuse, and write nothing, while Temporal is away.")
]
IncludeInProgress = Annotated[
    bool,
    typer.Option(
        "--include-in-progress", help="Also go on with lost executions. Steps that may have had an effect are repeated."
    ),
]


def select(ctx: typer.Context) -> Selection:
    """What the options of a command select, by the names that they have in all commands about executions."""
    given = ctx.params
    named = given.get("ids") or given.get("execution") or ()
    return Selection(
        ids=(named,) if isinstance(named, str) else tuple(named),
        agent=given.get("agent"),
        workflow=given.get("workflow"),
        session=given.get("session"),
        phases=tuple(Phase(phase) for phase in given.get("phase") or ()),
        kinds=tuple(Kind(kind) for kind in given.get("kind") or ()),
        older_than_s=given.get("older_than"),
        labels=tuple(given.get("label") or ()),
        search=given.get("search"),
        since=given.get("since"),
        until=given.get("until"),
        is_waiting=given.get("waiting", False),
    )
