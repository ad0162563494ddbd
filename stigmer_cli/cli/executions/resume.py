"""`stigmer executions resume`: has executions go on where they stopped, named ones, or all that are selected."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.resume import ResumeItem, ResumeOutcome, ResumeRequest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.limits import split_limits
from stigmer_cli.cli.executions.options import ResumeOptions, Selection
from stigmer_cli.cli.executions.preview import agree_on, check_can_ask, describe_number, find_candidates
from stigmer_cli.cli.executions.selection import check_one_way, describe_query, is_everything, make_query
from stigmer_cli.cli.output import Format, strip_control_sequences
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError, NotFound, StigmerError

HELP = "stigmer executions resume --help"
NOTHING_DONE = "nothing was resumed"
RESUMABLE = (Phase.FAILED, Phase.IN_PROGRESS)
BATCH = 50
"""Executions of one request: each is a commit of its own."""

SHOWN_MAX = 20
WORDS = {
    ResumeOutcome.RESUMED: "resumed",
    ResumeOutcome.UNDECIDED: "wait for your decision about a step",
    ResumeOutcome.OPEN: "already open",
    ResumeOutcome.ENDED: "ended for good",
    ResumeOutcome.MISSING: "not found",
}


def resume_executions(cli: Cli, selection: Selection, options: ResumeOptions) -> int:
    """Resume what is named, or show what is selected, ask, and resume it; returns the exit code.

    Exit code 0: all go on. Raises ConfigError if neither or both is given, if a step is named for several executions,
    or if it has to ask and cannot; NotFound for an unknown id.
    """
    is_selected = not is_everything(selection)
    check_one_way(selection, is_selected=is_selected, hint=HELP)
    _check_steps(selection, options)
    is_asked = is_selected and not (options.is_dry_run or options.is_agreed)
    if is_asked:
        check_can_ask(cli, "resuming")
    account = _Account(is_dry_run=options.is_dry_run)
    if selection.ids:
        names = list(dict.fromkeys(resolve_target(cli, name) for name in selection.ids))
    else:
        query = make_query(cli, selection)
        found = cli.call(lambda client: find_candidates(client, query, RESUMABLE, is_wanted=_waits_for_person))
        account.asked, names = describe_query(query), [one.id for one in found]
        if is_asked and found:
            agree_on(cli, found, f"Resume {describe_number(found)}?", otherwise=NOTHING_DONE)
    return _carry_out(cli, names, options, account)


def _check_steps(selection: Selection, options: ResumeOptions) -> None:
    named = [key for key in (options.repeat, options.skip, options.forget_from) if key]
    if len(named) > 1:
        raise ConfigError("--repeat, --skip and --from exclude each other", hint=HELP)
    if named and len(selection.ids) != 1:
        raise ConfigError("a step is of one execution: name one", hint=HELP)
    if options.result is not None and not options.skip:
        raise ConfigError("--result says what the step of --skip returned", hint=HELP)


def _waits_for_person(item: ExecutionResource) -> bool:
    """Whether it goes on only if a person says so."""
    status = item.status
    is_paused = status.waiting is not None and status.waiting.is_pause
    return status.phase is Phase.FAILED or status.attention is not None or is_paused


@dataclass(kw_only=True)
class _Account:
    """What came of it so far. `asked`: the options that selected the executions; empty: they were named."""

    is_dry_run: bool
    asked: str = ""
    counts: Counter[ResumeOutcome] = field(default_factory=Counter)
    items: list[ResumeItem] = field(default_factory=list)
    along: set[str] = field(default_factory=set)

    def add(self, cli: Cli, item: ResumeItem) -> None:
        """Take what came of one. One that went on with an earlier one is open, or has ended by now: it was resumed."""
        if item.outcome in (ResumeOutcome.OPEN, ResumeOutcome.ENDED) and item.id in self.along:
            item = item.model_copy(update={"outcome": ResumeOutcome.RESUMED, "reason": ""})
        self.along.update(item.along)
        self.counts[item.outcome] += 1
        cli.out.stream({"item": item.to_wire()})
        is_told = item.reason or item.outcome is not ResumeOutcome.RESUMED
        is_shown = is_told and len(self.items) < SHOWN_MAX
        if cli.out.format is Format.JSON or is_shown:
            self.items.append(item)

    def print_end(self, cli: Cli, *, is_complete: bool) -> None:
        """Print the account: in JSON with each item, in words with those that do not go on."""
        summary = {outcome.value: self.counts[outcome] for outcome in ResumeOutcome}
        items = {} if cli.out.format is Format.STREAM_JSON else {"items": [item.to_wire() for item in self.items]}
        data = {"dryRun": self.is_dry_run, **items, "summary": summary, "complete": is_complete}
        cli.out.result(data, lambda console: self._print(console, is_complete=is_complete))

    def _print(self, console: Console, *, is_complete: bool) -> None:
        if not self.counts:
            console.print(Text(strip_control_sequences(f"no execution to resume matches {self.asked}")))
            return
        for item in self.items:
            why = item.reason or WORDS[item.outcome]
            console.print(Text(strip_control_sequences(f"{item.id}: {why}")), soft_wrap=True)
        told = [f"{self.counts[outcome]:,} {words}" for outcome, words in WORDS.items() if self.counts[outcome]]
        before = "would be: " if self.is_dry_run else "" if is_complete else "broken off: "
        console.print(f"{before}{', '.join(told)}" + ("" if is_complete else " so far"), soft_wrap=True)

    @property
    def exit_code(self) -> int:
        """0 if all go on, NotFound's for one that was named and is missing, else 1."""
        if self.counts[ResumeOutcome.MISSING] and not self.asked:
            return NotFound.exit_code
        return int(self.counts.total() > self.counts[ResumeOutcome.RESUMED])


def _carry_out(cli: Cli, names: Sequence[str], options: ResumeOptions, account: _Account) -> int:
    """Resume them batch by batch, and print what came of it, however it ends."""
    cli.out.outlives_reader = not options.is_dry_run
    limits, lifted = split_limits(options.limits)
    try:
        for first in range(0, len(names), BATCH):
            request = ResumeRequest(
                ids=list(names[first : first + BATCH]),
                repeat=options.repeat,
                skip=options.skip,
                limits=limits,
                lifted=lifted,
                result=options.result or "null",
                forget_from=options.forget_from,
                dry_run=options.is_dry_run,
            )
            for item in call_with_retry(cli, lambda client, request=request: client.resume_executions(request)):  # type: ignore[misc]
                account.add(cli, item)
    except (KeyboardInterrupt, StigmerError):
        if account.counts:
            account.print_end(cli, is_complete=False)
        raise
    account.print_end(cli, is_complete=True)
    return account.exit_code
