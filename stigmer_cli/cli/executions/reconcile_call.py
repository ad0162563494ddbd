"""Calls the server's reconcile until it is done, and waits out what prevents it as the policy says."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.executions.reconcile_view import View
from stigmer_cli.cli.executions.reconcile_wait import AskAgain, GiveUp, WaitPolicy
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.retry import is_transient
from stigmer_cli.client import Client
from stigmer_cli.errors import Conflict, ServerUnavailable, Unavailable


class ReconcileCall:
    """Calls again after each refusal that `policy` waits out. The server skips what an earlier try has done."""

    def __init__(self, cli: Cli, client: Client, policy: WaitPolicy) -> None:
        self._cli, self._client, self._policy = cli, client, policy
        self._told = ""

    async def ask(self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None = None) -> None:
        """Have the server do it; count and show what it reports.

        Raises TimedOut if nothing could be done within the time to wait, NotRunning if the stack is down, and the
        refusal itself if it is not waited out.
        """
        clock = self._cli.clock
        since_s, was_cut_off = clock.monotonic(), False
        while refusal := await self._try_once(request, counts, view):
            self._raise_if_stopped(refusal)
            if counts.has_items:  # progress was made: the time to wait begins again
                since_s = clock.monotonic()
            self._note_refusal(refusal, for_s=self._policy.for_s(refusal, was_cut_off=was_cut_off))
            match self._policy.decide(refusal, waited_s=clock.monotonic() - since_s, was_cut_off=was_cut_off):
                case GiveUp(error=error):
                    raise error
                case AskAgain(delay_s=delay_s):
                    await clock.sleep(delay_s)
            was_cut_off = was_cut_off or is_transient(refusal)
            counts.begin_again()

    async def _try_once(
        self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None
    ) -> Unavailable | Conflict | None:
        """None once the server has done it all, else the error that refused it or interrupted it."""
        try:
            await self._collect(request, counts, view)
        except (Unavailable, Conflict) as refusal:
            return refusal
        return None

    def _raise_if_stopped(self, refusal: Unavailable | Conflict) -> None:
        """Raise the cause found on this machine if it shows that no server will come, unless a wait was asked for."""
        if self._policy.asked_s is None and isinstance(refusal, ServerUnavailable):
            known = self._cli.explain(refusal)
            if known is not refusal:
                raise known from refusal

    def _note_refusal(self, refusal: Unavailable | Conflict, *, for_s: float) -> None:
        is_waited_out = for_s > 0 or self._policy.asked_s is not None
        if is_waited_out and refusal.message != self._told:
            self._cli.out.note(f"waiting: {refusal.message}")
            self._told = refusal.message

    async def _collect(self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None) -> None:
        counts.is_under_way = True
        with _make_progress(self._cli) as progress:
            bar = progress.add_task("looking" if request.dry_run else "reconciling", total=None)
            async for found in self._client.reconcile(request):
                counts.add(found)
                if view and isinstance(found, ReconcileItem):
                    view.item(found)
                progress.update(bar, completed=counts.examined, total=counts.total)


def _make_progress(cli: Cli) -> Progress:
    """A bar on standard error, shown only if that is a terminal and no JSON is printed on the same one."""
    is_shown = cli.out.stderr.is_terminal and (cli.out.format is Format.TABLE or not cli.out.stdout.is_terminal)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=cli.out.stderr, transient=True, disable=not is_shown)
