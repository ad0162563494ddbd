"""A workflow as it was written, checked: the bare document of the specification, or one in the `spec` of a manifest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.declarations_check import find_declaration_problems
from stigmer_cli.workflow.expressions_check import find_expression_problems
from stigmer_cli.workflow.json_value import Json, Path
from stigmer_cli.workflow.references import find_reference_problems
from stigmer_cli.workflow.schedule import find_schedule_problems
from stigmer_cli.workflow.schema_check import Problem, find_schema_problems
from stigmer_cli.workflow.task_schema import load_schema
from stigmer_cli.workflow.yaml_json import Located, Malformed, read_yaml

BYTES_MAX = 1024 * 1024
"""How long a document may be, in UTF-8."""

KIND = "Workflow"
API_VERSION = "agentic.stigmer.ai/v1"
ENVELOPE_KEYS = ("apiVersion", "kind", "metadata", "spec")
LANGUAGE = "jq"
DSL_SERIES = "1.0."
"""The versions of the DSL that are read: 1.0.x."""


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A document that passed every check. `data` is all of it, as JSON."""

    namespace: str
    name: str
    version: str
    data: Mapping[str, Json]

    @property
    def label(self) -> str:
        """What a person calls it: `shop/order-pet 1.0.0`."""
        return f"{self.namespace}/{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True)
class LocatedWorkflow:
    """A workflow, the document that it is in, and where in that its own begins: `()`, or `("spec",)` in a manifest."""

    workflow: Workflow
    located: Located
    prefix: Path
    name: str

    def format(self, problem: Problem) -> str:
        """A further problem, with file, line and column in front; its path is one of the workflow."""
        return self.format_at((*self.prefix, *problem.path), problem.text)

    def format_at(self, path: Path, text: str) -> str:
        """`text` about what is at `path` of the whole document, with file, line and column in front."""
        return _format(self.name, self.located.find(path), text)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A document, or a whole text, with mistakes: a line for each, with the file, line and column in front."""

    problems: Sequence[str]


def read_workflows(name: str, text: str) -> Iterator[Workflow | Rejected]:
    """Each document of `text`, which is shown under `name`; empty documents are left out."""
    for found in locate_workflows(name, text):
        yield found.workflow if isinstance(found, LocatedWorkflow) else found


def locate_workflows(name: str, text: str) -> Iterator[LocatedWorkflow | Rejected]:
    """As `read_workflows`, with the places of what each document says."""
    if len(text.encode()) > BYTES_MAX:
        yield Rejected(problems=[f"{name}:1:1: a document of more than {BYTES_MAX // 1024} KiB"])
        return
    try:
        for located in read_yaml(text):
            yield _check(name, located)
    except Malformed as error:
        yield Rejected(problems=[_format(name, error.place, error.text)])


def _check(name: str, located: Located) -> LocatedWorkflow | Rejected:
    if not isinstance(located.data, dict):
        return Rejected(problems=[_format(name, located.find(()), "a workflow is a mapping with document and do")])
    prefix: Path = ("spec",) if "kind" in located.data or "apiVersion" in located.data else ()
    problems = _check_envelope(located.data) if prefix else []
    data = located.data.get("spec") if prefix else located.data
    if not problems:
        problems = [*_find_root_problems(cast("Mapping[str, Json]", data)), *find_schema_problems(data)]
        # References and expressions mean something only in a document that has the shape.
        problems = problems or _check_meaning(cast("Mapping[str, Json]", data))
        problems = [Problem(path=(*prefix, *problem.path), text=problem.text) for problem in problems]
    if problems:
        placed = sorted((located.find(problem.path), problem.text) for problem in problems)
        return Rejected(problems=[_format(name, place, text) for place, text in placed])
    workflow = make_workflow(cast("Mapping[str, Json]", data))
    return LocatedWorkflow(workflow=workflow, located=located, prefix=prefix, name=name)


def _check_meaning(data: Mapping[str, Json]) -> Sequence[Problem]:
    return [
        *find_reference_problems(data),
        *find_expression_problems(data),
        *find_declaration_problems(data),
        *find_schedule_problems(data),
    ]


def make_workflow(data: Mapping[str, Json]) -> Workflow:
    """The workflow of a document that was checked before, as a store keeps it."""
    about = cast("Mapping[str, str]", data["document"])
    return Workflow(namespace=about["namespace"], name=about["name"], version=about["version"], data=data)


def _check_envelope(data: Mapping[str, Json]) -> Sequence[Problem]:
    unknown = [key for key in data if key not in ENVELOPE_KEYS]
    if unknown:
        return [
            Problem(path=(key,), text=f"unknown key {key!r}{suggest_nearest(key, ENVELOPE_KEYS)}") for key in unknown
        ]
    if data.get("apiVersion", API_VERSION) != API_VERSION:
        return [Problem(path=("apiVersion",), text=f"apiVersion: {API_VERSION} is needed")]
    if data.get("kind") != KIND:
        return [Problem(path=("kind",), text=f"kind: {KIND} is needed{suggest_nearest(str(data.get('kind')), [KIND])}")]
    if not isinstance(data.get("spec"), dict):
        return [Problem(path=("spec",), text="spec: a mapping is needed, the document of the workflow")]
    return []


def _find_root_problems(data: Mapping[str, Json]) -> Sequence[Problem]:
    """What the schema leaves open: keys of the root that are near to a known one, and versions of other series."""
    known = list(load_schema()["properties"])
    problems = [
        Problem(path=(key,), text=f"unknown key {key!r}{near}")
        for key in data
        if key not in known and (near := suggest_nearest(key, known))
    ]
    evaluate = data.get("evaluate")
    language = evaluate.get("language") if isinstance(evaluate, dict) else None
    if isinstance(language, str) and language != LANGUAGE:
        text = f"evaluate.language: expressions are {LANGUAGE}; {language!r} is not read"
        problems.append(Problem(path=("evaluate", "language"), text=text))
    about = data.get("document")
    dsl = about.get("dsl") if isinstance(about, dict) else None
    if isinstance(dsl, str) and dsl[:1].isdecimal() and not dsl.startswith(DSL_SERIES):
        text = f"document.dsl: version {dsl} of the DSL is not read, only {DSL_SERIES}x"
        problems.append(Problem(path=("document", "dsl"), text=text))
    return problems


def _format(name: str, place: tuple[int, int], text: str) -> str:
    return f"{name}:{place[0]}:{place[1]}: {text}"
