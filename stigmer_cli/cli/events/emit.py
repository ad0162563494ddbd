"""`stigmer events emit`: sends an event, until the server has it."""

import sys
import uuid
from dataclasses import dataclass

from stigmer_cli.api.cloud_events import PublishedEvent
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.clock import iso
from stigmer_cli.domain.event import (
    EMITTED_BY,
    EVENT_BYTES_MAX,
    EXECUTION_VARIABLE,
    SPEC_VERSION,
    CloudEvent,
    check_event,
)
from stigmer_cli.errors import ConfigError, RequestError
from stigmer_cli.json_text import read_json

STDIN = "-"
HELP = "stigmer events emit --help"


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """What a person says about an event. `data` is JSON, `@FILE` or `-`; `extensions` are `name=value`."""

    type: str
    data: str | None = None
    source: str
    subject: str | None = None
    id: str | None = None
    time: str | None = None
    extensions: tuple[str, ...] = ()


def emit_event(cli: Cli, options: EventOptions) -> None:
    """Send the event and print its id. The server is asked again while it is away: the id makes that safe.

    Raises RequestError for what is no event, and ConfigError for data that cannot be read.
    """
    event = make_event(cli, options)
    answer = call_with_retry(cli, lambda client: client.publish_events([event]))
    [sent] = answer.items
    was_sent_before = options.id is None and not sent.is_new
    if was_sent_before:  # an id of its own: an earlier try of this command has brought it there
        sent = sent.model_copy(update={"is_new": True})
    takers = None if was_sent_before else (answer.going_on, answer.started)
    result = {"event": event, "isNew": sent.is_new}
    if takers is not None and sent.is_new:
        result |= {"goingOn": answer.going_on, "started": answer.started}
    cli.out.result(result, lambda console: console.print(_describe(sent, takers)))


def make_event(cli: Cli, options: EventOptions) -> CloudEvent:
    """The event, with an id and a time of its own where none is given."""
    event: dict[str, object] = {}
    for extension in options.extensions:
        name, equals, value = extension.partition("=")
        if not equals or name in ("id", "source", "specversion", "type", "data", "data_base64"):
            raise RequestError(f"{extension!r} is no further attribute", hint="--extension orderid=17")
        event[name] = value
    if execution := cli.environ.get(EXECUTION_VARIABLE):
        event.setdefault(EMITTED_BY, execution)
    event |= {
        "specversion": SPEC_VERSION,
        "id": options.id if options.id is not None else str(uuid.uuid4()),
        "source": options.source,
        "type": options.type,
        "time": options.time if options.time is not None else iso(cli.clock.now()),
        "subject": options.subject,
    }
    if options.data is not None:
        event |= {"datacontenttype": "application/json", "data": _read_data(options.data)}
    try:
        return check_event(event)
    except ValueError as error:
        raise RequestError(str(error), hint=HELP) from None


def _read_data(given: str) -> object:
    if given == STDIN:
        text = sys.stdin.buffer.read(EVENT_BYTES_MAX + 1)
    elif given.startswith("@"):
        text = read_input_file(given[1:], bytes_max=EVENT_BYTES_MAX, hint="--data @FILE")
    else:
        text = given.encode("utf-8", "surrogateescape")
    if len(text) > EVENT_BYTES_MAX:
        raise ConfigError(f"the data is longer than {EVENT_BYTES_MAX // 1024} KiB", hint=HELP)
    try:
        return read_json(text)
    except ValueError as error:
        hint = """--data '{"orderId": 17}', or --data @FILE; a text is JSON in quotes: --data '"yes"'"""
        raise ConfigError(f"the data is not JSON: {error}", hint=hint) from None


def _describe(sent: PublishedEvent, takers: tuple[int | None, int | None] | None) -> str:
    """What became of it; `takers` are how many executions go on and begin, None where that is not known."""
    if not sent.is_new:
        return f"event {sent.id} was taken before, and not again"
    going_on, started = takers or (None, None)
    if going_on is None or started is None:
        return f"event {sent.id} taken"
    if not going_on and not started:
        return f"event {sent.id} taken; nobody listens for it now, and it starts nothing"
    told = [f"{number} {word}" for number, word in ((going_on, "went on"), (started, "started")) if number]
    return f"event {sent.id} taken; executions: {', '.join(told)}"
