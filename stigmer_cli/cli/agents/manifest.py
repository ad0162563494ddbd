"""Parses manifests: YAML to requests, with file, line and column for every problem."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stigmer_cli.api.resources import AgentManifest
from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.errors import ConfigError
from stigmer_cli.stack.first_agent import list_yaml_files

STDIN = "-"
FILE_MAX = 4 * 1024 * 1024
DEPTH_MAX = 64
ANCHORS_MAX = 100
"""How many anchors, and how many uses of them: a few lines of them stand for more than any memory holds."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, where it is there, is ten times as fast."""

Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ManifestSource:
    """A file that was read: its name as it is shown, and its text."""

    name: str
    text: str


def read_sources(names: Sequence[str], stdin: BinaryIO) -> Sequence[ManifestSource]:
    """The files `names`, and the YAML files of each folder; `-` is `stdin`.

    Raises ConfigError for one that cannot be read or is too large, and for a folder without YAML files.
    """
    return [_read_source(file, stdin) for name in names for file in _list_files(name)]


def parse_manifests(sources: Sequence[ManifestSource]) -> Sequence[AgentManifest]:
    """Every document of every source, in order; raises ConfigError that lists every problem."""
    manifests: list[AgentManifest] = []
    problems: list[str] = []
    for source in sources:
        for found in _parse_documents(source):
            if isinstance(found, AgentManifest):
                manifests.append(found)
            else:
                problems.extend(found)
    if problems:
        raise ConfigError("\n       ".join(problems), hint="nothing was applied; correct the file and apply it again")
    if not manifests:
        raise ConfigError("the input holds no document", hint="stigmer apply --help shows an example")
    return manifests


def _list_files(name: str) -> Sequence[str]:
    if not Path(name).is_dir():
        return [name]
    files = list_yaml_files(Path(name))
    if not files:
        raise ConfigError(f"{name} has no YAML file (*.yaml, *.yml)", hint="stigmer apply -f FILE")
    return [str(file) for file in files]


def _read_source(name: str, stdin: BinaryIO) -> ManifestSource:
    if name == STDIN:
        data = stdin.read(FILE_MAX + 1)
    else:
        data = read_input_file(name, bytes_max=FILE_MAX, hint="stigmer apply -f FILE")
    shown = "<stdin>" if name == STDIN else name
    if len(data) > FILE_MAX:
        raise ConfigError(f"{shown} is larger than {FILE_MAX // 1024 // 1024} MiB")
    try:
        return ManifestSource(name=shown, text=data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 text (byte {error.start})") from error


def _parse_documents(source: ManifestSource) -> Iterator[AgentManifest | list[str]]:
    try:
        excess = _find_excess(source)
        if excess is not None:
            yield [_format_problem(source, excess, "nested too deeply, or too many anchors and aliases")]
            return
        for node in yaml.compose_all(source.text, Loader=LOADER):
            if not _is_empty(node):
                yield _validate_document(source, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        yield [_format_problem(source, place, error.problem or "not YAML")]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        yield [_format_problem(source, (1, 1), str(error).splitlines()[0] if str(error) else "not YAML")]


def _find_excess(source: ManifestSource) -> Place | None:
    """Where the text exceeds `DEPTH_MAX` or `ANCHORS_MAX`, found before any object is built."""
    depth = anchors = 0
    for event in yaml.parse(source.text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchors += getattr(event, "anchor", None) is not None  # an alias has the name of its anchor
        if depth > DEPTH_MAX or anchors > ANCHORS_MAX:
            mark = event.start_mark
            return (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return None


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _validate_document(source: ManifestSource, node: yaml.Node) -> AgentManifest | list[str]:
    start = (node.start_mark.line + 1, node.start_mark.column + 1)
    if not isinstance(node, yaml.MappingNode):
        return [_format_problem(source, start, "a document is a mapping with apiVersion, kind, metadata and spec")]
    places: dict[tuple[str, ...], Place] = {(): start}
    twice: list[str] = []
    _collect_keys(source, node, (), places, twice)
    if twice:
        return twice
    data = yaml.SafeLoader("").construct_document(node)
    try:
        return AgentManifest.model_validate(data)
    except ValidationError as error:
        return [
            _format_problem(source, _find_place(places, problem), _describe_problem(problem))
            for problem in error.errors()
        ]


def _collect_keys(
    source: ManifestSource,
    node: yaml.Node,
    path: tuple[str, ...],
    places: dict[tuple[str, ...], Place],
    twice: list[str],
) -> None:
    """Add the place of every key to `places`, and a problem for each repeated key to `twice`."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        place = (key.start_mark.line + 1, key.start_mark.column + 1)
        here = (*path, str(key.value))
        if here in places:
            twice.append(_format_problem(source, place, f"the key {key.value!r} appears twice"))
        places[here] = place
        _collect_keys(source, value, here, places, twice)


def _find_place(places: Mapping[tuple[str, ...], Place], problem: ErrorDetails) -> Place:
    path = tuple(str(part) for part in problem["loc"])
    while path not in places:
        path = path[:-1]
    return places[path]


def _describe_problem(problem: ErrorDetails) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key {path!r}{_suggest_key([str(part) for part in problem['loc']])}"
        case "missing":
            return f"{path} is missing"
        case _:
            return f"{path}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _suggest_key(path: Sequence[str]) -> str:
    known = _list_keys(AgentManifest, path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(known)}"


def _list_keys(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    names = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if not path:
        return list(names)
    inner = names.get(path[0])
    return _list_keys(inner, path[1:]) if isinstance(inner, type) and issubclass(inner, BaseModel) else []


def _format_problem(source: ManifestSource, place: Place, text: str) -> str:
    return f"{source.name}:{place[0]}:{place[1]}: {text}"
