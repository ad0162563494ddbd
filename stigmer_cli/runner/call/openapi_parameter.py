"""How the parameters of an OpenAPI operation are written: `style` and `explode` of 3.x, `collectionFormat` of 2.0."""

import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json

SEPARATORS: Mapping[str, str] = {
    "csv": ",",
    "ssv": " ",
    "tsv": "\t",
    "pipes": "|",
    "form": ",",
    "simple": ",",
    "spaceDelimited": " ",
    "pipeDelimited": "|",
}
"""What stands between the values of a list, by `collectionFormat` or `style`."""


ELSEWHERE = frozenset({"", ".", ".."})
"""Values that are no part of a path, but lead to another one."""


def write_single(value: Json) -> str:
    """A value as text: a text as it is, anything else as JSON writes it, and nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_parameter(parameter: Mapping[str, Json], value: Json) -> str:
    """The value of a parameter in a path, a header or a cookie; in a path it is percent-encoded.

    Raises WorkflowError for a style that is not supported.
    """
    is_in_path = parameter.get("in") == "path"
    if is_in_path and isinstance(value, str) and value in ELSEWHERE:
        raise make_error(ErrorType.CONFIGURATION, f"{parameter.get('name')} is {value!r}, which leads to another path")
    encode = _quote if is_in_path else _leave
    if "content" in parameter:
        return encode(json.dumps(value, ensure_ascii=False))
    style = str(parameter.get("collectionFormat") or parameter.get("style") or "simple")
    if style not in SEPARATORS:
        raise make_error(
            ErrorType.CONFIGURATION, f"the style {style} of the parameter {parameter.get('name')} is not supported"
        )
    return _join(value, SEPARATORS[style], encode, is_exploded=parameter.get("explode") is True)


def write_pairs(parameter: Mapping[str, Json], value: Json, *, is_version_2: bool) -> Mapping[str, str | list[str]]:
    """The names and values of a parameter in a query or a form. Raises WorkflowError as `write_parameter`."""
    name = str(parameter.get("name"))
    if "content" in parameter:
        return {name: json.dumps(value, ensure_ascii=False)}
    style, is_exploded = _read_style(parameter, is_version_2=is_version_2)
    if isinstance(value, list) and (style == "multi" or is_exploded):
        return {name: [write_single(item) for item in value]}
    if isinstance(value, Mapping) and style == "deepObject":
        return {f"{name}[{key}]": write_single(item) for key, item in value.items()}
    if isinstance(value, Mapping) and is_exploded:
        return {key: write_single(item) for key, item in value.items()}
    if style not in {*SEPARATORS, "multi", "deepObject"}:
        raise make_error(ErrorType.CONFIGURATION, f"the style {style} of the parameter {name} is not supported")
    return {name: _join(value, SEPARATORS.get(style, ","), _leave, is_exploded=False)}


def write_delimited(parameter: Mapping[str, Json], value: Json, *, is_version_2: bool) -> str:
    """A list or an object whose parts stand between commas in a query, as it is written there; empty for any other.

    Its commas are not encoded, and those in its parts are (section 3.2.8 of RFC 6570, which OpenAPI refers to).
    """
    style, is_exploded = _read_style(parameter, is_version_2=is_version_2)
    if "content" in parameter or SEPARATORS.get(style) != "," or is_exploded or not isinstance(value, list | Mapping):
        return ""
    return f"{_quote(str(parameter.get('name')))}={_join(value, ',', _quote, is_exploded=False)}"


def _read_style(parameter: Mapping[str, Json], *, is_version_2: bool) -> tuple[str, bool]:
    """How a parameter of a query or a form is written, and whether each of its parts has a name of its own."""
    usual = "csv" if is_version_2 else "form"
    style = str(parameter.get("collectionFormat") or parameter.get("style") or usual)
    return style, parameter.get("explode", style == "form") is True and not is_version_2


def _join(value: Json, separator: str, encode: Callable[[str], str], *, is_exploded: bool) -> str:
    """`value` as one text, its parts encoded one by one."""
    parts: Sequence[str]
    if isinstance(value, list):
        parts = [encode(write_single(item)) for item in value]
    elif isinstance(value, Mapping):
        pairs = [(encode(key), encode(write_single(item))) for key, item in value.items()]
        parts = [f"{key}={item}" for key, item in pairs] if is_exploded else [part for pair in pairs for part in pair]
    else:
        parts = [encode(write_single(value))]
    return separator.join(parts)


def _quote(text: str) -> str:
    return quote(text, safe="")


def _leave(text: str) -> str:
    return text
