"""`--event` of `stigmer workflows test`: events that are there before the workflow runs."""

from collections.abc import Sequence
from itertools import count

from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.domain.event import SPEC_VERSION, CloudEvent, check_event
from stigmer_cli.errors import ConfigError
from stigmer_cli.json_text import read_json

SOURCE = "/stigmer/test"
BYTES_MAX = 8 * 1024 * 1024
HINT = """--event '{"type": "TYPE", "data": {}}', or --event FILE"""


def read_local_events(given: Sequence[str]) -> Sequence[CloudEvent]:
    """The events in `given`: each is JSON, or the name of a file of JSON, and holds one event or a list of them.

    Attributes that are missing are made up, without the type. Raises ConfigError.
    """
    numbers = count(1)
    return [_complete(value, next(numbers)) for text in given for value in _read(text)]


def _read(text: str) -> Sequence[object]:
    is_json = text.lstrip()[:1] in ("{", "[")
    name = text.removeprefix("@")
    content = text if is_json else read_input_file(name, bytes_max=BYTES_MAX, hint=HINT)
    if len(content) > BYTES_MAX:
        raise ConfigError(f"{name} is longer than {BYTES_MAX // 1024 // 1024} MiB", hint=HINT)
    try:
        value = read_json(content)
    except ValueError as error:
        raise ConfigError(f"the event {'' if is_json else f'in {name} '}is not JSON: {error}", hint=HINT) from error
    return value if isinstance(value, list) else [value]


def _complete(value: object, number: int) -> CloudEvent:
    usual = {"specversion": SPEC_VERSION, "id": f"event-{number}", "source": SOURCE}
    try:
        return check_event({**usual, **value} if isinstance(value, dict) else value)
    except ValueError as error:
        raise ConfigError(f"event {number}: {error}", hint=HINT) from error
