"""Draws the parts of the screen of `stigmer top` as text, without any control sequence from elsewhere."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason
from stigmer_cli.cli.output import strip_control_sequences, truncate_line
from stigmer_cli.cli.stack.status import STYLES, list_remarks
from stigmer_cli.cli.top.source import Snapshot
from stigmer_cli.stack.status import PartStatus
from stigmer_cli.time_format import ago

COLUMNS = ("ID", "PHASE", "AGE", "AGENT", "WHY")
AGENT_MAX = 20
WHY_MAX = 200
CHANGES_SHOWN = 3
REMARKS_SHOWN = 4
MESSAGE_MAX = 300


def draw_stack(snapshot: Snapshot, *, is_stuck_only: bool) -> RenderableType:
    """The state of the stack and of its parts, what is wrong, and the last changes of the connection to Temporal."""
    stack = snapshot.page.stack
    where = stack.elsewhere or stack.endpoints.server_url
    lines = [Text.assemble((stack.state, STYLES[stack.state]), f"  {strip_control_sequences(where)}  {stack.home}")]
    lines.append(Text("  ").join(_draw_part(part) for part in stack.parts))
    remarks = [*(line for part in stack.parts for line in list_remarks(part)), *stack.reasons]
    lines += [Text(strip_control_sequences(remark), style="yellow") for remark in remarks[:REMARKS_SHOWN]]
    changes = snapshot.page.changes[-CHANGES_SHOWN:] if len(snapshot.page.changes) > 1 else []
    lines += [Text(f"connection: {line}", style="dim") for line in changes]
    lines.append(_draw_count(snapshot, is_stuck_only=is_stuck_only))
    return Group(*lines)


def _draw_part(part: PartStatus) -> Text:
    pid = f" {part.pid}" if part.pid else ""
    return Text.assemble(f"{part.name} ", (part.state, STYLES[part.state]), pid)


def _draw_count(snapshot: Snapshot, *, is_stuck_only: bool) -> Text:
    if snapshot.problem:
        hint = f"  hint: {snapshot.hint}" if snapshot.hint else ""
        return Text(strip_control_sequences(f"no executions can be shown: {snapshot.problem}{hint}"), style="red")
    number = len(snapshot.executions)
    stuck = sum(1 for item in snapshot.executions if item.stuck)
    what = "stuck executions" if is_stuck_only else f"executions, {stuck} of them stuck"
    return Text(f"{'the newest ' if snapshot.is_cut else ''}{number} {what}", style="red" if stuck else "")


def draw_row(item: ExecutionResource, now: datetime) -> Sequence[Text]:
    """A cell for each of `COLUMNS`."""
    return (
        Text(item.metadata.id),
        Text(item.status.phase, style=PHASE_STYLES[item.status.phase]),
        Text(ago(item.metadata.created_at, now), justify="right"),
        Text(truncate_line(item.spec.runs, AGENT_MAX)),
        Text(truncate_line(describe_reason(item), WHY_MAX), style="red" if item.stuck else ""),
    )


def draw_selected(item: ExecutionResource | None, log_lines: Sequence[str] | None) -> RenderableType:
    """Why the selected execution stands where it does, what helps, and its lines in the logs (None: not read yet)."""
    if item is None:
        return Text("no execution is selected", style="dim")
    why = describe_reason(item) or item.status.phase
    lines = [Text.assemble((f"{item.metadata.id} ", "bold"), strip_control_sequences(why))]
    if item.stuck:
        lines.append(Text.assemble(("hint: ", "cyan"), strip_control_sequences(item.stuck.hint)))
    lines.append(_draw_line(f"message: {truncate_line(item.spec.asked, MESSAGE_MAX)}"))
    if item.status.answer:
        lines.append(_draw_line(f"output: {truncate_line(item.status.answer, MESSAGE_MAX)}"))
    if log_lines is None:
        return Group(*lines, Text("reading the logs ...", style="dim"))
    told = [Text(line, style="dim") for line in log_lines] or [Text("the logs do not name it", style="dim")]
    return Group(*lines, *told)


def _draw_line(text: str) -> Text:
    """`text` on one line, so that there is room for the logs below; its page has all of it."""
    return Text(text, no_wrap=True, overflow="ellipsis")
