"""Reads the feature files of the kit: the part of Gherkin that they use."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STEP = re.compile(r"\s*(?:Given|When|Then|And|But) (?P<text>.+?):?\s*$")
SCENARIO = re.compile(r"\s*Scenario: (?P<name>.+?)\s*$")
FENCE = '"""'


@dataclass(kw_only=True)
class Step:
    """A line, and the text between the lines of quotes after it."""

    text: str
    document: str = ""


@dataclass(kw_only=True)
class Scenario:
    """A scenario, and the feature that it is in."""

    feature: str
    name: str
    steps: list[Step] = field(default_factory=list)


def read_features(folder: Path) -> Sequence[Scenario]:
    """Every scenario of every feature file in `folder`, by file name."""
    files = sorted(folder.glob("*.feature"))
    return [scenario for file in files for scenario in _read_feature(file.stem, file.read_text().splitlines())]


def _read_feature(feature: str, lines: Sequence[str]) -> Iterator[Scenario]:
    scenario: Scenario | None = None
    rest = iter(lines)
    for line in rest:
        if found := SCENARIO.match(line):
            if scenario is not None:
                yield scenario
            scenario = Scenario(feature=feature, name=found["name"])
        elif scenario is not None and line.strip().startswith(FENCE):
            scenario.steps[-1].document = _read_document(line, rest)
        elif scenario is not None and (found := STEP.match(line)):
            scenario.steps.append(Step(text=found["text"]))
    if scenario is not None:
        yield scenario


def _read_document(opening: str, rest: Iterator[str]) -> str:
    indent = len(opening) - len(opening.lstrip())
    found: list[str] = []
    for line in rest:
        if line.strip() == FENCE:
            break
        found.append(line[min(indent, len(line) - len(line.lstrip())) :])
    return "\n".join(found) + "\n"
