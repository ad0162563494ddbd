"""Parses the id of an execution as a person types it."""

from stigmer_cli.domain.identity import is_id
from stigmer_cli.errors import ConfigError


def parse_execution_id(text: str) -> str:
    """`text` if it has the form of an execution's id; raises ConfigError if not."""
    if not is_id(text):
        raise ConfigError(
            f"{text!r} is not an execution id: three letters, a dash, 26 letters and digits",
            hint="stigmer executions list",
        )
    return text
