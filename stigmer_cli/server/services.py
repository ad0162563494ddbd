"""What the routes call, made once by the composition root and handed to them."""

from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.clock import Clock, ClockWatch
from stigmer_cli.domain.identity import ServerId
from stigmer_cli.executions.accept import Acceptor
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.canceller import Canceller
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.executions.pollers import PollerWatch
from stigmer_cli.executions.reconcile.on_request import Reconciling
from stigmer_cli.executions.scheduler import Scheduler
from stigmer_cli.executions.stuck_watch import StuckWatch
from stigmer_cli.executions.temporal_api import TemporalLink
from stigmer_cli.server.cluster_identity import ClusterWatch
from stigmer_cli.server.metrics import Metrics
from stigmer_cli.server.outages import Outages
from stigmer_cli.server.ready import ReadyCheck
from stigmer_cli.server.registry import ServerRegistry
from stigmer_cli.server.vault import Vault
from stigmer_cli.settings import Settings
from stigmer_cli.store.store import Store
from stigmer_cli.watchdog import LoopWatch


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything that a route may need."""

    server_id: ServerId
    registry: ServerRegistry
    settings: Settings
    clock: Clock
    store: Store
    link: TemporalLink
    notifier: Notifier
    ids: IdGenerator
    admission: Admission
    acceptor: Acceptor
    dispatcher: Dispatcher
    scheduler: Scheduler
    canceller: Canceller
    pollers: PollerWatch
    cluster: ClusterWatch
    loop: LoopWatch
    outages: Outages
    clock_watch: ClockWatch
    reconciling: Reconciling
    stuck: StuckWatch
    metrics: Metrics
    ready: ReadyCheck
    vault: Vault
    started_at: datetime
