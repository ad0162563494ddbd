"""Everything the server counts, in a registry of its own."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.findings import ReconcileOutcome
from stigmer_cli.domain.execution import AttentionCode, TokenUsage
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions.reconcile.apply import Applied
from stigmer_cli.temporal.connection import Change, ConnectionStatus

OUTCOMES = ("ok", "failed")
SUBMITS = ("started", "already")
MODELS_MAX = 50
OTHER_MODELS = "other"
"""The name under which all models are counted after the first `MODELS_MAX`."""

PROBE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The counters and gauges; loops and routes write to them, `/metrics` reads them."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        self.connection_state = gauge(
            "stigmer_temporal_connection_state",
            "1 for the state the server's connection to Temporal is in, 0 for the others.",
            ["state"],
        )
        self.connection_state_seconds = gauge(
            "stigmer_temporal_connection_state_seconds", "How long the connection has been in its state."
        )
        self.connection_changes = counter(
            "stigmer_temporal_connection_changes_total", "Changes of the connection's state.", ["before", "after"]
        )
        self.probes = counter("stigmer_temporal_probes_total", "Probes of the connection, by outcome.", ["outcome"])
        self.probe_seconds = Histogram(
            "stigmer_temporal_probe_seconds",
            "How long Temporal took to answer a probe.",
            buckets=PROBE_BUCKETS_S,
            registry=self.registry,
        )
        self.dials = counter("stigmer_temporal_dials_total", "Attempts to connect, by outcome.", ["outcome"])
        self.reconnects = gauge("stigmer_temporal_reconnects", "How often the connection came back since the start.")
        self.executions = gauge("stigmer_executions", "Executions, by phase and kind.", ["phase", "kind"])
        self.queue_depth = gauge("stigmer_dispatch_queue_depth", "Accepted executions that are not submitted yet.")
        self.oldest_pending_seconds = gauge(
            "stigmer_oldest_pending_seconds", "Age of the oldest PENDING execution; 0 for none."
        )
        self.calls = counter(
            "stigmer_temporal_calls_total", "Calls to Temporal, by call and outcome.", ["call", "outcome"]
        )
        self.submits = counter("stigmer_submits_total", "Submits to Temporal, by outcome.", ["outcome"])
        self.reconciled = counter("stigmer_reconciled_total", "What reconciling did, by action.", ["done"])
        self.attention = counter(
            "stigmer_attention_total", "Executions that were marked for attention, by reason.", ["code"]
        )
        self.stuck = _stuck_gauge(self.registry)
        self.claims_lost = counter("stigmer_claims_lost_total", "Runs that found their execution held by another.")
        self.pollers = gauge(
            "stigmer_task_queue_pollers", "Runners that Temporal has seen polling the task queue lately."
        )
        self.loop_blocks = counter("stigmer_event_loop_blocks_total", "How often the server's event loop stood still.")
        self.loop_blocked_seconds = gauge(
            "stigmer_event_loop_last_block_seconds", "How long the server's event loop last stood still; 0 for never."
        )
        self.models = ModelMetrics(self.registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what has not happened yet as 0, so that its first time is an increase."""
        for outcome in OUTCOMES:
            self.probes.labels(outcome)
            self.dials.labels(outcome)
        for taken in SUBMITS:
            self.submits.labels(taken)
        for done in (ReconcileOutcome.RESUBMITTED, ReconcileOutcome.REPAIRED, ReconcileOutcome.ATTENTION):
            self.reconciled.labels(done)
        for code in AttentionCode:
            self.attention.labels(code)
        self.record_stuck({})

    # -- ConnectionObserver

    def record_change(self, change: Change) -> None:
        """The connection changed its state."""
        self.connection_changes.labels(change.before, change.after).inc()

    def record_probe(self, *, ok: bool, latency_s: float) -> None:
        """The connection was probed."""
        self.probes.labels("ok" if ok else "failed").inc()
        if ok:
            self.probe_seconds.observe(latency_s)

    def record_dial(self, *, ok: bool) -> None:
        """A connection was tried."""
        self.dials.labels("ok" if ok else "failed").inc()

    # -- SubmitObserver

    def record_submit(self, *, already: bool) -> None:
        """Temporal took an execution; `already`: it had it before."""
        self.submits.labels("already" if already else "started").inc()

    def record_failed_submit(self, code: str) -> None:
        """A submit failed with an error of kind `code`."""
        self.submits.labels(code).inc()

    def record_attention(self, code: AttentionCode) -> None:
        """An execution was left to a person."""
        self.attention.labels(code).inc()

    def record_reconciled(self, applied: Applied) -> None:
        """A move was carried out, or found that somebody knew better."""
        self.reconciled.labels(applied.done).inc()
        if applied.done is ReconcileOutcome.ATTENTION and applied.move.attention is not None:
            self.record_attention(applied.move.attention)

    # -- StuckObserver

    def record_stuck(self, counts: Mapping[StuckClass, int]) -> None:
        """All that is open has been looked at once more."""
        for kind in StuckClass:
            self.stuck.labels(kind).set(counts.get(kind, 0))

    # -- CallObserver

    def record_call(self, call: str, outcome: str) -> None:
        """A call to Temporal ended."""
        self.calls.labels(call, outcome).inc()

    # -- LoopObserver

    def loop_blocked(self, seconds: float) -> None:
        """The event loop stood still for so long."""
        self.loop_blocks.inc()
        self.loop_blocked_seconds.set(seconds)

    # -- read when somebody looks

    def record_connection(self, status: ConnectionStatus, *, now: datetime) -> None:
        """Take over what the connection says of itself."""
        for state in ConnectionState:
            self.connection_state.labels(state).set(1 if status.state is state else 0)
        self.connection_state_seconds.set(max(0.0, (now - status.since).total_seconds()))
        self.reconnects.set(status.reconnects)

    def record_executions(
        self, counts: Mapping[tuple[Phase, Kind], int], *, queued: int, oldest_pending_age_s: float | None
    ) -> None:
        """Take over what the store counts."""
        for phase in Phase:
            for kind in Kind:
                self.executions.labels(phase, kind).set(counts.get((phase, kind), 0))
        self.queue_depth.set(queued)
        self.oldest_pending_seconds.set(oldest_pending_age_s or 0.0)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


def _stuck_gauge(registry: CollectorRegistry) -> Gauge:
    return Gauge(
        "stigmer_stuck_executions",
        "Stuck executions, by class, as of the last pass over all open executions.",
        ["class"],
        registry=registry,
    )


class ModelMetrics:
    """What models used, by model: the first `MODELS_MAX` by name, and all others together."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Counter(
            "stigmer_model_tokens_total",
            "Tokens that runs reported since this server started, by model and direction (input, output).",
            ["model", "direction"],
            registry=registry,
        )
        self._cost = Counter(
            "stigmer_model_cost_dollars_total",
            "What these tokens cost by list prices, where known.",
            ["model"],
            registry=registry,
        )
        self._turns = Counter(
            "stigmer_model_turns_total",
            "Answers of models that were recorded since this server started, by model.",
            ["model"],
            registry=registry,
        )
        self._tool_calls = Counter(
            "stigmer_tool_calls_total",
            "Calls of tools that were recorded since this server started.",
            registry=registry,
        )
        self._names: set[str] = set()

    def record_usage(self, usage: TokenUsage) -> None:
        """An attempt used tokens, or a turn or a call of a tool is recorded."""
        self._tool_calls.inc(usage.tool_calls)
        if not usage.model:
            return
        model = usage.model if usage.model in self._names or len(self._names) < MODELS_MAX else OTHER_MODELS
        self._names.add(model)
        self._turns.labels(model).inc(usage.turns)
        self._tokens.labels(model, "input").inc(usage.input_tokens)
        self._tokens.labels(model, "output").inc(usage.output_tokens)
        if usage.cost is not None:
            self._cost.labels(model).inc(usage.cost)
