"""Arguments that several commands take: ids as a person types them."""

from stigmer_cli.domain.identity import is_id
from stigmer_cli.errors import ConfigError


def parse_execution_id(text: str) -> str:
    """`text`, which has the form of an execution's id; raises ConfigError where it has not."""
    if not is_id(text):
        raise ConfigError(
            f"{text!r} is not an execution id: three letters, a dash, 26 letters and digits",
            hint="stigmer executions list",
        )
    return text
