"""Addresses with variables, as the DSL has them: `https://example.com/pets/{petId}`."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json

VARIABLE = re.compile(r"\{([A-Za-z0-9_.%-]+)\}")


def expand_uri(template: str, values: Json) -> str:
    """`template` with each `{name}` replaced by that property of `values`, percent-encoded (RFC 6570, level 1).

    A property that is missing or null is an empty text. Raises WorkflowError for one that is a list or a mapping, or
    that leads to another path.
    """

    def replace(found: re.Match[str]) -> str:
        value = values.get(found[1]) if isinstance(values, Mapping) else None
        if value is None:
            return ""
        if isinstance(value, list | dict):
            reason = "a list or a mapping, which cannot stand in an address"
            raise make_error(ErrorType.EXPRESSION, f"{{{found[1]}}} of {template} is {reason}")
        text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        if text in {".", ".."} and "?" not in template[: found.start()]:
            raise make_error(ErrorType.EXPRESSION, f"{{{found[1]}}} of {template} is {text!r}, which is another path")
        return quote(text, safe="")

    return VARIABLE.sub(replace, template)
