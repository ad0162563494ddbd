"""The input of a workflow as a person gives it: JSON, a file of it, or standard input."""

import sys
from codecs import BOM_UTF8

from pydantic import JsonValue

from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.errors import ConfigError
from stigmer_cli.json_text import read_json, read_whole

INPUT_BYTES_MAX = 8 * 1024 * 1024
STDIN = "-"
HINT = """--input '{"petId": 1}', or --input @FILE"""


def read_given_input(given: str | None) -> JsonValue:
    """The input: JSON, `@FILE`, or `-` for standard input; an empty mapping without one.

    Raises ConfigError for what is no JSON, or too long.
    """
    if given is None:
        return {}
    if given == STDIN:
        text = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    elif given.startswith("@"):
        text = read_input_file(given[1:], bytes_max=INPUT_BYTES_MAX, hint="--input @FILE")
    else:
        text = given.encode(errors="surrogateescape")
    if len(text) > INPUT_BYTES_MAX:
        raise ConfigError(f"the input is longer than {INPUT_BYTES_MAX // 1024 // 1024} MiB", hint="stigmer run --help")
    text = text.removeprefix(BOM_UTF8)  # as editors of Windows write it
    try:
        read_json(text)  # refuses what JSON cannot say
        found: JsonValue = read_whole(text)
    except ValueError as error:
        raise ConfigError(f"the input is not JSON: {error}", hint=HINT) from error
    return found
