"""Reads YAML that a person wrote into typed values; every problem comes with file, line and column."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar, get_args

import yaml
from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

DEPTH_MAX = 64
ANCHORS_MAX = 100
"""How many anchors, and how many uses of them: a few lines of them stand for more than any memory holds."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, where it is there, is ten times as fast."""

Place = tuple[int, int]
Path = tuple[str, ...]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class YamlSource:
    """A text that was read, and the name under which it is shown."""

    name: str
    text: str


Prepare = Callable[[object, Mapping[Path, Place]], Sequence[str]]
"""May change the data of a document before it is checked; returns problems. It is given the place of every key."""


def parse_documents(source: YamlSource, kind: type[M], prepare: Prepare | None = None) -> Iterator[M | Sequence[str]]:
    """Each document of `source` as a `kind`, or else its problems, one line each; empty documents are left out."""
    try:
        excess = _find_excess(source)
        if excess is not None:
            yield [format_problem(source, excess, "nested too deeply, or too many anchors and aliases")]
            return
        for node in yaml.compose_all(source.text, Loader=LOADER):
            if not _is_empty(node):
                yield _validate(source, node, kind, prepare)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        yield [format_problem(source, place, error.problem or "not YAML")]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        yield [format_problem(source, (1, 1), str(error).splitlines()[0] if str(error) else "not YAML")]


def format_problem(source: YamlSource, place: Place, text: str) -> str:
    """`text` with the place that it is about in front."""
    return f"{source.name}:{place[0]}:{place[1]}: {text}"


def _find_excess(source: YamlSource) -> Place | None:
    """Where the text exceeds `DEPTH_MAX` or `ANCHORS_MAX`, found before any object is built."""
    depth = anchors = 0
    for event in yaml.parse(source.text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchors += getattr(event, "anchor", None) is not None  # an alias has the name of its anchor
        if depth > DEPTH_MAX or anchors > ANCHORS_MAX:
            return _place_of(event)
    return None


def _place_of(item: yaml.Node | yaml.Event) -> Place:
    mark = item.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _validate(source: YamlSource, node: yaml.Node, kind: type[M], prepare: Prepare | None) -> M | Sequence[str]:
    places: dict[Path, Place] = {(): _place_of(node)}
    twice: list[str] = []
    _collect_places(source, node, (), places, twice)
    if twice:
        return twice
    if not isinstance(node, yaml.SequenceNode if issubclass(kind, RootModel) else yaml.MappingNode):
        return [format_problem(source, places[()], _describe_shape(kind))]
    data = yaml.SafeLoader("").construct_document(node)
    problems = prepare(data, places) if prepare else []
    if problems:
        return problems
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        return [
            format_problem(source, _find_place(places, problem), _describe_problem(kind, problem))
            for problem in error.errors()
        ]


def _describe_shape(kind: type[BaseModel]) -> str:
    keys = _list_keys(kind, ("0",) if issubclass(kind, RootModel) else ())
    known = f"{', '.join(keys[:-1])} and {keys[-1]}"
    return (
        f"a document is a list of mappings with {known}"
        if issubclass(kind, RootModel)
        else (f"a document is a mapping with {known}")
    )


def _collect_places(
    source: YamlSource, node: yaml.Node, path: Path, places: dict[Path, Place], twice: list[str]
) -> None:
    """Add the place of every key and item to `places`, and a problem for each repeated key to `twice`."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            here = (*path, str(number))
            places[here] = _place_of(item)
            _collect_places(source, item, here, places, twice)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = (*path, str(key.value))
        if here in places:
            twice.append(format_problem(source, _place_of(key), f"the key {key.value!r} appears twice"))
        places[here] = _place_of(key)
        _collect_places(source, value, here, places, twice)


def _find_place(places: Mapping[Path, Place], problem: ErrorDetails) -> Place:
    path = tuple(str(part) for part in problem["loc"])
    while path not in places:
        path = path[:-1]
    return places[path]


def _describe_problem(kind: type[BaseModel], problem: ErrorDetails) -> str:
    path = _write_path(problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key {path!r}{_suggest_key(kind, [str(part) for part in problem['loc']])}"
        case "missing":
            return f"{path} is missing"
        case "string_type" if word := _name_scalar(problem["input"]):
            return f"{path}: YAML reads this as {word}, and a text is needed: put it in quotes"
        case _:
            words = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
            return f"{path}: {words}" if path else words


def _name_scalar(value: object) -> str:
    """What YAML made of a word without quotes, as `no`, `1.10` or `2026-11-26`; empty for anything else."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case date():
            return "a date"
        case _:
            return ""


def _write_path(parts: Sequence[str | int]) -> str:
    """`spec.tools[0].mcp`: items are counted from 0."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".")


def _suggest_key(kind: type[BaseModel], path: Sequence[str]) -> str:
    known = _list_keys(kind, path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(known)}"


def _list_keys(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    names = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if issubclass(kind, RootModel):
        inner = _model_in(names["root"])
        return _list_keys(inner, path[1:]) if inner else []
    if not path:
        return list(names)
    inner = _model_in(names.get(path[0]))
    # A number counts the items of the list that is the value of the key before it.
    rest = path[2:] if len(path) > 1 and path[1].isdecimal() else path[1:]
    return _list_keys(inner, rest) if inner else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that `annotation` is, or is a list or an option of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
