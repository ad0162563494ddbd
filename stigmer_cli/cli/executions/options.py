"""The options of the commands about executions; cheap to import, because every command line imports it."""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selects executions that match every field; an empty field or None matches all.

    `is_waiting`: only those that wait while nobody works on them. `labels`: `key=value`, or `key` for any value.
    `since` and `until` are times as they were typed.
    """

    ids: Sequence[str] = ()
    agent: str | None = None
    workflow: str | None = None
    session: str | None = None
    phases: Sequence[Phase] = ()
    kinds: Sequence[Kind] = ()
    older_than_s: float | None = None
    labels: Sequence[str] = ()
    search: str | None = None
    since: str | None = None
    until: str | None = None
    is_waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Which part of a list: at most `limit` (None: all), behind `cursor`."""

    limit: int | None
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """The message to an agent as it was given: `text`, or the name of a `file`; `-` is standard input in both."""

    text: str | None
    file: str | None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an agent or a workflow is run.

    `timeout_s`: seconds to wait for the end, None: no limit. `key` finds the same execution again. `labels`:
    `key=value`, or `key` with an empty value. `limits`: `name=number`. `session`: the conversation that it joins.
    `given_input`: that of a workflow, as it was typed.
    """

    timeout_s: float | None
    key: str | None
    require_temporal: bool
    is_detached: bool
    labels: Sequence[str] = ()
    limits: Sequence[str] = ()
    session: str | None = None
    given_input: str | None = None


@dataclass(frozen=True, kw_only=True)
class CancelOptions:
    """How executions are cancelled. `is_all`: all that are open, or that the other options leave of them."""

    is_all: bool
    is_dry_run: bool
    is_agreed: bool


@dataclass(frozen=True, kw_only=True)
class DecideOptions:
    """What is decided about calls that wait. `arguments` (JSON text) are performed in place of the model's.

    `step`: only about that one, by its key. `is_all`: about all, or those that the other options leave of them.
    """

    is_approval: bool
    step: str | None
    reason: str
    arguments: str | None
    is_all: bool
    is_dry_run: bool
    is_agreed: bool


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """How executions are resumed, and what was decided about a step, by its key.

    `repeat`: perform it again. `skip`: take `result` (JSON text) for what it returned. `forget_from`: perform it again,
    and all that began after it. `limits`: `name=number`.
    """

    repeat: str | None
    skip: str | None
    result: str | None
    forget_from: str | None
    limits: Sequence[str] | None
    is_dry_run: bool
    is_agreed: bool


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """How executions are deleted. `keep_last`: keep so many of those selected, the newest."""

    keep_last: int
    is_dry_run: bool
    is_agreed: bool


@dataclass(frozen=True, kw_only=True)
class ReconcileOptions:
    """How a reconcile is done.

    `limit`: act on at most so many. `waits_s`: how many seconds to wait until it can be done; None: only for errors
    that pass by themselves. `include_in_progress`: also start lost ones over. `is_agreed`: do not ask.
    """

    limit: int | None
    waits_s: float | None
    include_in_progress: bool
    is_dry_run: bool
    is_agreed: bool
