"""How long ago a worker polled, though only Temporal knows when, and its clock is not ours."""

from datetime import timedelta

from temporalio.worker import Worker

from stigmer_cli.runner.managed_worker import ManagedWorker
from tests.support.fakes import START


def test_a_worker_polled_when_temporals_moment_became_another_one() -> None:
    worker = ManagedWorker(task_queue="q", identity="one", generation=1, worker=object.__new__(Worker), began=100.0)
    assert worker.access_age_s(None, now=100.0) is None
    far_away = START - timedelta(days=365)
    assert worker.access_age_s(far_away, now=101.0) == 0
    assert worker.access_age_s(far_away, now=104.0) == 3
    assert worker.access_age_s(far_away - timedelta(hours=1), now=105.0) == 0, "its clock was set back meanwhile"
    assert worker.access_age_s(None, now=106.0) is None
