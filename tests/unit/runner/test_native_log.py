"""What the native side of the SDK logs becomes events of the runner's log."""

import logging
from types import SimpleNamespace

from structlog.testing import capture_logs

from stigmer_cli.runner.native_log import NativeLog, cause_in

FAILURE = (
    'Failure { failure: Some(Failure { message: "[TMPRL1100] Nondeterminism error: Timer machine does not handle this'
    ' event: HistoryEvent(id: 5, ActivityTaskScheduled)", source: "", cause: None }), force_cause: NonDeterministic }'
)


def _record(message: str, fields: dict[str, str] | None = None) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "native", "levelno": logging.WARNING, "msg": message})
    record.__dict__["temporal_log"] = SimpleNamespace(fields=fields or {})
    return record


def test_a_failed_workflow_task_is_logged_with_its_run_and_its_cause() -> None:
    with capture_logs() as lines:
        NativeLog().emit(_record("Failing workflow task", {"run_id": "run-1", "failure": FAILURE}))
    [line] = lines
    assert (line["event"], line["run"], line["log_level"]) == ("workflow_task_failed", "run-1", "warning")
    assert line["cause"].startswith("[TMPRL1100] Nondeterminism error: Timer machine")
    assert line["cause"].endswith("ActivityTaskScheduled)")


def test_anything_else_is_logged_unchanged() -> None:
    with capture_logs() as lines:
        NativeLog().emit(_record("something broke"))
    assert [(line["event"], line["message"]) for line in lines] == [("native_log", "something broke")]


def test_a_failure_without_a_message_stands_for_itself() -> None:
    assert cause_in("odd") == "odd"
