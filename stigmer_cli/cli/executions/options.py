"""What a person asks for who runs, lists or reconciles executions; cheap to import, for every command line names it."""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The executions of which all of this is true; what is empty or None narrows nothing."""

    ids: Sequence[str] = ()
    agent: str | None = None
    phases: Sequence[Phase] = ()
    kinds: Sequence[Kind] = ()
    older_than_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an agent is run beside what it is asked.

    `timeout_s`: for how long to wait for the end, None: for ever. `key` finds the same execution again.
    """

    timeout_s: float | None
    key: str | None
    require_temporal: bool
    is_detached: bool


@dataclass(frozen=True, kw_only=True)
class ReconcileOptions:
    """How a reconcile goes about it.

    `limit`: act on so many at the most. `waits_s`: for how many seconds to wait until it can be done; None: only for
    what passes by itself. `include_in_progress`: start lost ones over, too. `is_agreed`: do not ask.
    """

    limit: int | None
    waits_s: float | None
    include_in_progress: bool
    is_dry_run: bool
    is_agreed: bool
