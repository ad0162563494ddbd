"""Log lines as events with ids: JSON, one a line, on standard error; the supervisor puts them into files."""

import logging
import sys
import threading
import traceback
from types import TracebackType

import structlog

from stigmer_cli.secret_values import redact_sentence
from stigmer_cli.settings import LogLevel


def configure(part: str, level: LogLevel) -> None:
    """Send this process's log lines, and those of its libraries, to standard error as `part`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[_named(part), *shared, structlog.processors.JSONRenderer(), _redact],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_named(part), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
            _redact,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    sys.excepthook = _print_traceback
    threading.excepthook = lambda found: _print_traceback(found.exc_type, found.exc_value, found.exc_traceback)


def silence() -> None:
    """Write no log lines: for a command that tells by itself what they would say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _redact(_logger: object, _name: str, line: object) -> str:
    """The rendered line without the secrets that this process has had."""
    return redact_sentence(str(line))


def _print_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What ends the process, as Python prints it, without secrets."""
    sys.stderr.write(redact_sentence("".join(traceback.format_exception(kind, error, trace))))


def _named(part: str) -> structlog.typing.Processor:
    def add(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["part"] = part
        return event

    return add
