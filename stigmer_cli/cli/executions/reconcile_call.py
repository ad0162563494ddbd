"""One reconcile asked of the server until it is done: what stands in its way is waited out as the policy says."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.executions.reconcile_view import View
from stigmer_cli.cli.executions.reconcile_wait import AskAgain, GiveUp, WaitPolicy
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.retry import is_passing
from stigmer_cli.client import Client
from stigmer_cli.errors import Conflict, ServerUnavailable, Unavailable


class ReconcileCall:
    """Asks again after each refusal that `policy` waits out. What the server did in an earlier try it finds done."""

    def __init__(self, cli: Cli, client: Client, policy: WaitPolicy) -> None:
        self._cli, self._client, self._policy = cli, client, policy
        self._told = ""

    async def ask(self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None = None) -> None:
        """Have the server do it, counting and showing what it tells.

        Raises TimedOut when nothing could be done for the time that was asked for, NotRunning where the stack is
        plainly down, and the refusal itself where it is not waited out.
        """
        clock = self._cli.clock
        since_s, was_cut_off, number = clock.monotonic(), False, counts.number
        while refusal := await self._refused(request, counts, view):
            self._refuse_hopeless(refusal)
            if counts.number > number:  # it got on: the time begins again
                since_s = clock.monotonic()
            self._tell(refusal, for_s=self._policy.for_s(refusal, was_cut_off=was_cut_off))
            match self._policy.decide(refusal, waited_s=clock.monotonic() - since_s, was_cut_off=was_cut_off):
                case GiveUp(error=error):
                    raise error
                case AskAgain(delay_s=delay_s):
                    await clock.sleep(delay_s)
            was_cut_off = was_cut_off or is_passing(refusal)
            counts.begin_again()
            number = counts.number

    async def _refused(
        self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None
    ) -> Unavailable | Conflict | None:
        """None once the server has done it all, else what it was broken off or refused with."""
        try:
            await self._collect(request, counts, view)
        except (Unavailable, Conflict) as refusal:
            return refusal
        return None

    def _refuse_hopeless(self, refusal: Unavailable | Conflict) -> None:
        """Raise what the machine says where it says that no server will come, unless a person waits for one."""
        if self._policy.asked_s is None and isinstance(refusal, ServerUnavailable):
            known = self._cli.explain(refusal)
            if known is not refusal:
                raise known from refusal

    def _tell(self, refusal: Unavailable | Conflict, *, for_s: float) -> None:
        is_waited_out = for_s > 0 or self._policy.asked_s is not None
        if is_waited_out and refusal.message != self._told:
            self._cli.out.note(f"waiting: {refusal.message}")
            self._told = refusal.message

    async def _collect(self, request: ReconcileRequest, counts: ReconcileCounts, view: View | None) -> None:
        counts.is_under_way = True
        with _progress(self._cli) as progress:
            bar = progress.add_task("looking" if request.dry_run else "reconciling", total=None)
            async for found in self._client.reconcile(request):
                counts.tell(found)
                if view and isinstance(found, ReconcileItem):
                    view.item(found)
                progress.update(bar, completed=counts.examined, total=counts.total)


def _progress(cli: Cli) -> Progress:
    """A bar on standard error, where somebody looks at it and no result is written beside it."""
    is_shown = cli.out.stderr.is_terminal and (cli.out.format is Format.TABLE or not cli.out.stdout.is_terminal)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=cli.out.stderr, transient=True, disable=not is_shown)
