"""`stigmer executions approve` and `deny`: decides about calls of tools that wait for a person."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.decisions import DECIDE_MAX, CallName, DecideItem, DecideOutcome, DecideRequest
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.columns import Column
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.options import DecideOptions, Selection
from stigmer_cli.cli.executions.preview import SHOWN_MAX, check_can_ask, print_first
from stigmer_cli.cli.executions.selection import check_one_way, describe_query, is_everything, make_query
from stigmer_cli.cli.output import Format, strip_control_sequences, truncate_line
from stigmer_cli.cli.question import ask_to_agree
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import PAGE_MAX, Client
from stigmer_cli.domain.waiting import Verdict, check_arguments
from stigmer_cli.errors import ConfigError, NotFound, StigmerError
from stigmer_cli.time_format import ago

ARGUMENTS_MAX = 200
WORDS = {
    DecideOutcome.DECIDED_BEFORE: "decided differently before",
    DecideOutcome.SEVERAL: "with several waiting calls: name the step",
    DecideOutcome.NOT_WAITING: "not waiting for a decision",
    DecideOutcome.ENDED: "ended",
    DecideOutcome.MISSING: "not found",
}
COLUMNS = (
    Column(name="ID", rank=0),
    Column(name="STEP", rank=1),
    Column(name="TOOL", rank=2),
    Column(name="AGE", rank=4, is_right=True),
    Column(name="ARGUMENTS", rank=3, width_min=16),
)


@dataclass(frozen=True, kw_only=True)
class WaitingCall:
    """A call that waits for a decision, as a preview shows it."""

    id: str
    step: str
    tool: str
    arguments: str
    since: datetime


def decide_calls(cli: Cli, selection: Selection, options: DecideOptions) -> int:
    """Decide about the call that is named, or about those that are selected, after a question; returns the exit code.

    Raises ConfigError if neither or both is given, or if it has to ask and cannot; NotFound for an unknown id.
    """
    verb = "approve" if options.is_approval else "deny"
    hint = f"stigmer executions {verb} --help"
    check_one_way(selection, is_selected=options.is_all or not is_everything(selection), hint=hint)
    _check_arguments(selection, options, hint)
    account = _Account(verdict=Verdict.APPROVED if options.is_approval else Verdict.DENIED, options=options)
    if selection.ids and options.step:
        found = [CallName(id=resolve_target(cli, selection.ids[0]), step=options.step)]
        return _carry_out(cli, found, account)
    calls = _find(cli, selection, account)
    is_asked = len(calls) > 1 or (bool(calls) and not selection.ids)
    if is_asked and options.arguments is not None:
        raise ConfigError(f"{len(calls)} calls wait: name the step that the arguments are for", hint=hint)
    if is_asked and not (options.is_dry_run or options.is_agreed):
        check_can_ask(cli, "approving" if options.is_approval else "denying")
        print_calls(cli.out.stderr, calls, cli.now())
        number = f"{len(calls):,} calls" if len(calls) > 1 else "this call"
        ask_to_agree(cli, f"{verb.capitalize()} {number}?", otherwise="nothing was decided")
    if options.is_dry_run:
        data = {"dryRun": True, "items": [_to_json(call) for call in calls]}
        cli.out.result(data, lambda console: print_calls(console, calls, cli.now()))
        return 0
    named = [CallName(id=call.id, step=call.step) for call in calls]
    if selection.ids and not named:
        named = [CallName(id=resolve_target(cli, selection.ids[0]))]  # the server says why there is nothing to decide
    return _carry_out(cli, named, account)


def _check_arguments(selection: Selection, options: DecideOptions, hint: str) -> None:
    if options.arguments is None:
        return
    if not selection.ids:
        raise ConfigError("--arguments is a JSON object, for one call that is named", hint=hint)
    try:
        check_arguments(options.arguments)
    except ValueError as error:
        raise ConfigError(f"the arguments {error}", hint=hint) from None


def _find(cli: Cli, selection: Selection, account: "_Account") -> list[WaitingCall]:
    """The calls of the execution that is named, or of those that are selected."""
    if selection.ids:
        name = resolve_target(cli, selection.ids[0])
        return calls_of(cli.call(lambda client: client.execution(name)))
    query = replace(make_query(cli, selection), is_waiting=True, limit=PAGE_MAX)
    account.asked = describe_query(query)

    async def read(client: Client) -> list[WaitingCall]:
        found: list[WaitingCall] = []
        cursor = None
        while True:
            page = await client.executions(replace(query, cursor=cursor))
            found += [call for item in page.items for call in calls_of(item)]
            cursor = page.next_cursor
            if cursor is None:
                return found

    return cli.call(read)


def calls_of(item: ExecutionResource) -> list[WaitingCall]:
    """The calls of an execution that wait for a decision, in the order of the model."""
    return [
        WaitingCall(
            id=item.metadata.id,
            step=call.step,
            tool=call.tool,
            arguments=json.dumps(call.arguments, ensure_ascii=False),
            since=call.since,
        )
        for call in (item.status.waiting.calls if item.status.waiting else [])
    ]


def print_calls(console: Console, calls: Sequence[WaitingCall], now: datetime) -> None:
    """Print the first of them, each with what it would do."""
    print_first(
        console,
        COLUMNS,
        calls,
        lambda call: (
            Text(call.id),
            Text(call.step),
            Text(truncate_line(call.tool, 30)),
            Text(ago(call.since, now)),
            Text(truncate_line(call.arguments, ARGUMENTS_MAX)),
        ),
    )


def _to_json(call: WaitingCall) -> dict[str, object]:
    return {"id": call.id, "step": call.step, "tool": call.tool, "arguments": json.loads(call.arguments)}


@dataclass(kw_only=True)
class _Account:
    """What came of it so far. `asked`: the options that selected the calls; empty: one was named."""

    verdict: Verdict
    options: DecideOptions
    asked: str = ""
    items: list[DecideItem] = field(default_factory=list)

    def print_end(self, cli: Cli, *, is_complete: bool) -> None:
        """Print the account: in JSON with each item, in words with those about which nothing was decided."""
        counts = Counter(item.outcome for item in self.items)
        data = {
            "verdict": self.verdict,
            "items": [item.to_wire() for item in self.items],
            "summary": {outcome.value: counts[outcome] for outcome in DecideOutcome},
            "complete": is_complete,
        }
        cli.out.result(data, lambda console: self._print(console, counts, is_complete=is_complete))

    def _print(self, console: Console, counts: Counter[DecideOutcome], *, is_complete: bool) -> None:
        if not self.items:
            console.print(Text(strip_control_sequences(f"no call waits for a decision {self.asked}".rstrip())))
            return
        for item in [one for one in self.items if one.outcome is not DecideOutcome.DECIDED][:SHOWN_MAX]:
            console.print(
                Text(strip_control_sequences(f"{item.id}: {item.reason or WORDS[item.outcome]}")), soft_wrap=True
            )
        if len(self.items) == 1 and counts[DecideOutcome.DECIDED]:
            [item] = self.items
            left = f"; {item.left} more wait for your decision" if item.left else "; it goes on"
            console.print(f"{item.id} {item.step}: {self.verdict}{left}", soft_wrap=True)
            return
        told = [f"{counts[DecideOutcome.DECIDED]:,} {self.verdict}"] if counts[DecideOutcome.DECIDED] else []
        told += [f"{counts[outcome]:,} {words}" for outcome, words in WORDS.items() if counts[outcome]]
        console.print(", ".join(told) + ("" if is_complete else " so far"), soft_wrap=True)

    @property
    def exit_code(self) -> int:
        """0 if all are decided, NotFound's for one that was named and is missing, else 1."""
        outcomes = {item.outcome for item in self.items}
        if DecideOutcome.MISSING in outcomes and not self.asked:
            return NotFound.exit_code
        return int(bool(outcomes - {DecideOutcome.DECIDED}))


def _carry_out(cli: Cli, calls: Sequence[CallName], account: _Account) -> int:
    """Decide batch by batch, and print what came of it, however it ends."""
    cli.out.outlives_reader = True
    options = account.options
    try:
        for first in range(0, len(calls), DECIDE_MAX):
            request = DecideRequest(
                calls=list(calls[first : first + DECIDE_MAX]),
                verdict=account.verdict,
                reason=options.reason,
                arguments=options.arguments,
            )
            account.items += call_with_retry(cli, lambda client, request=request: client.decide(request))  # type: ignore[misc]
    except (KeyboardInterrupt, StigmerError):
        if account.items:
            account.print_end(cli, is_complete=False)
        raise
    if cli.out.format is Format.STREAM_JSON:
        for item in account.items:
            cli.out.stream({"item": item.to_wire()})
    account.print_end(cli, is_complete=True)
    return account.exit_code
