"""Reads YAML 1.2 as JSON data, with line and column of every key and item.

PyYAML reads YAML 1.1, in which the key `on` is true, `12:30` is a number, and a date is no text. The specification's
documents are YAML 1.2 (its core schema), and JSON is a part of it.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from stigmer_cli.workflow.json_value import Json, Path

DEPTH_MAX = 64
"""How deep a document may be nested."""

VALUES_MAX = 200_000
"""How many values a document may have, each use of an alias counted: a few lines of aliases stand for millions."""

EXTRA_CHARS_MAX = 1024 * 1024
"""How much more text a document may stand for than it has, by using an alias for a long text again and again."""

Place = tuple[int, int]

NULL = "tag:yaml.org,2002:null"
BOOL = "tag:yaml.org,2002:bool"
INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
TEXT = "tag:yaml.org,2002:str"

CORE = (
    (NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    (BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (INT, re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        FLOAT,
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
)
"""What words without quotes mean: chapter 10.3 of YAML 1.2."""


class CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes with the tags of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML declares it


for _tag, _pattern, _first in CORE:
    CoreLoader.add_implicit_resolver(_tag, _pattern, _first)


class Malformed(Exception):
    """The text is no YAML, or no JSON can say what it says; `place` is where."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


@dataclass(kw_only=True)
class Located:
    """A document as JSON data, and where each key and item of it is."""

    data: Json
    places: dict[Path, Place] = field(default_factory=dict)

    def find(self, path: Path) -> Place:
        """The place of `path`, or of the nearest of its parents that has one."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def read_yaml(text: str) -> Iterator[Located]:
    """Each document of `text` that is not empty. Raises Malformed."""
    try:
        _refuse_depth(text)
        for node in yaml.compose_all(text, Loader=CoreLoader):
            if not (isinstance(node, yaml.ScalarNode) and node.tag == NULL):
                yield _Reader(len(text) + EXTRA_CHARS_MAX).read(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed((mark.line + 1, mark.column + 1) if mark else (1, 1), error.problem or "not YAML") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Malformed((1, 1), (str(error).splitlines() or ["not YAML"])[0]) from error


def _refuse_depth(text: str) -> None:
    """Before any object is built: building them is what recursion makes dear."""
    depth = 0
    for event in yaml.parse(text, Loader=CoreLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise Malformed(_place_of(event), f"nested more than {DEPTH_MAX} deep")


def _place_of(item: Any) -> Place:  # noqa: ANN401 - nodes and events share no type
    mark = item.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Reader:
    """Reads one document."""

    def __init__(self, chars_max: int) -> None:
        """`chars_max`: how long the keys and texts of the document may be together, each use of an alias counted."""
        self.located = Located(data=None)
        self.count = 0
        self.chars_left = chars_max

    def read(self, node: yaml.Node) -> Located:
        self.located.places[()] = _place_of(node)
        self.located.data = self._read(node, ())
        return self.located

    def _read(self, node: yaml.Node, path: Path) -> Json:
        self.count += 1
        if self.count > VALUES_MAX or len(path) > DEPTH_MAX:
            raise Malformed(_place_of(node), f"more than {VALUES_MAX:,} values, or aliases nested too deep")
        match node:
            case yaml.MappingNode():
                return self._read_mapping(node, path)
            case yaml.SequenceNode():
                return [self._read_item(item, (*path, str(number))) for number, item in enumerate(node.value)]
            case _:
                self._count_chars(node)
                return _read_scalar(cast("yaml.ScalarNode", node))

    def _count_chars(self, node: yaml.Node) -> None:
        self.chars_left -= len(node.value)
        if self.chars_left < 0:
            raise Malformed(_place_of(node), f"aliases stand for more than {EXTRA_CHARS_MAX:,} characters of text")

    def _read_item(self, node: yaml.Node, path: Path) -> Json:
        self.located.places[path] = _place_of(node)
        return self._read(node, path)

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> Json:
        found: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Malformed(_place_of(key), "a key is a text")
            self._count_chars(key)
            here = (*path, key.value)
            if key.value in found:
                raise Malformed(_place_of(key), f"the key {key.value!r} appears twice")
            self.located.places[here] = _place_of(key)
            found[key.value] = self._read(value, here)
        return found


def _read_scalar(node: yaml.ScalarNode) -> Json:
    try:
        return _read_value(node)
    except (ValueError, IndexError) as error:  # a tag says what the text is not: !!int abc
        raise Malformed(_place_of(node), f"{node.value!r} is no {node.tag.rpartition(':')[2]}") from error


def _read_value(node: yaml.ScalarNode) -> Json:
    text = str(node.value)
    match node.tag:
        case tag if tag == NULL:
            return None
        case tag if tag == BOOL:
            return text.lower() == "true"
        case tag if tag == INT:
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        case tag if tag == FLOAT:
            number = float(text.replace(".inf", "inf").replace(".nan", "nan")) if text[-1].isalpha() else float(text)
            if not math.isfinite(number):
                raise Malformed(_place_of(node), f"{text} is no number of JSON")
            return number
        case _:
            return text
