"""Tells the documents of a file apart: agents are read as YAML 1.1, workflows as YAML 1.2, each by its own reader."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import yaml

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.yaml_source import LOADER, YamlSource

WORKFLOW = "Workflow"
AGENT = "Agent"
DSL_KEY = "document"


@dataclass(frozen=True, kw_only=True)
class SplitSource:
    """A file as two: each has the lines of its own documents, and empty ones where those of the other are.

    So each line keeps its number. One that has no document is None.
    """

    agents: YamlSource | None
    workflows: YamlSource | None


@dataclass(kw_only=True)
class _Document:
    """Where a document begins (a line from 0), and the plain values at its top."""

    line: int
    top: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_workflow(self) -> bool:
        kind = self.top.get("kind")
        if kind is None:
            return DSL_KEY in self.top
        return kind == WORKFLOW or (kind != AGENT and bool(suggest_nearest(kind, [WORKFLOW])))


def split_source(source: YamlSource) -> SplitSource:
    """The agents and the workflows of a file; text that is no YAML is read by whoever reads the rest of it."""
    documents: list[_Document] = []
    try:
        documents.extend(_find_documents(source.text))
    except _Broken as broken:
        documents.extend(broken.documents)
    workflows = [document for document in documents if document.is_workflow]
    if not workflows:
        return SplitSource(agents=source, workflows=None)
    if len(workflows) == len(documents):
        return SplitSource(agents=None, workflows=source)
    return SplitSource(
        agents=_blank(source, documents, is_workflow=True), workflows=_blank(source, documents, is_workflow=False)
    )


class _Broken(Exception):
    """The text is YAML up to a place; `documents` are those that begin before it."""

    def __init__(self, documents: list[_Document]) -> None:
        super().__init__()
        self.documents = documents


def _find_documents(text: str) -> list[_Document]:
    found: list[_Document] = []
    try:
        for document in _parse(text, found):
            _read_top(document, found[-1])
    except (yaml.YAMLError, RecursionError, ValueError):
        raise _Broken(found) from None
    return found


def _parse(text: str, found: list[_Document]) -> Iterator[Iterator[yaml.Event]]:
    """The events of each document, which is added to `found` when it begins."""
    events = yaml.parse(text, Loader=LOADER)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            found.append(_Document(line=event.start_mark.line if event.start_mark else 0))
            yield _until_end(events)


def _until_end(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            return
        yield event


def _read_top(events: Iterator[yaml.Event], document: _Document) -> None:
    """Note the keys of the mapping that a document is, each with its value where that is plain."""
    depth, key = 0, None
    for event in events:
        is_start, is_end = (
            isinstance(event, yaml.CollectionStartEvent),
            isinstance(event, yaml.CollectionEndEvent),
        )
        depth -= is_end
        if depth == 1 and not is_start and not (is_end and key is None):
            value = getattr(event, "value", None) if isinstance(event, yaml.ScalarEvent) else None
            if key is None:
                key = value or ""
                document.top[key] = None
            else:
                document.top[key], key = value, None
        depth += is_start


def _blank(source: YamlSource, documents: list[_Document], *, is_workflow: bool) -> YamlSource:
    """`source` with empty lines in place of the documents that are workflows, or of those that are not."""
    lines = source.text.splitlines(keepends=True)
    ends = [document.line for document in documents[1:]] + [len(lines)]
    for number, (document, end) in enumerate(zip(documents, ends, strict=True)):
        begin = document.line if number else 0
        if document.is_workflow is is_workflow:
            lines[begin:end] = ["\n"] * (end - begin)
    return replace(source, text="".join(lines))
