"""What the SDK's native side logs, as events: above all, why a workflow task failed, which no other log shows."""

import logging
import re

import structlog

from stigmer_cli.temporal.dial import NATIVE_LOG

FAILING_TASK = "Failing workflow task"
WORDS_MAX = 300
_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)*)"')
"""The first message in a failure as Rust prints it: the outermost failure's."""


class NativeLog(logging.Handler):
    """Writes each record as one event."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it; a failed workflow task with its run and its cause, and what it means."""
        log = structlog.get_logger()
        if not record.getMessage().startswith(FAILING_TASK):
            log.log(record.levelno, "native_log", target=record.name, message=record.getMessage()[:WORDS_MAX])
            return
        fields = getattr(record.__dict__.get("temporal_log"), "fields", {})
        log.warning(
            "workflow_task_failed", run=fields.get("run_id", ""), cause=cause_in(str(fields.get("failure", "")))
        )


def cause_in(failure: str) -> str:
    """The message in a failure as the native side prints it; all of it where there is none, cut."""
    found = _MESSAGE.search(failure)
    return (found.group(1) if found else failure)[:WORDS_MAX]


def tell_native_log() -> None:
    """Write the native side's log as events; call this before the first dial."""
    if not NATIVE_LOG.handlers:
        NATIVE_LOG.addHandler(NativeLog())
        NATIVE_LOG.propagate = False
