"""Reads the workflows of files that a person named."""

import sys
from collections.abc import Sequence

from stigmer_cli.cli.agents.manifest import read_sources
from stigmer_cli.errors import ConfigError
from stigmer_cli.workflow.document import Rejected, Workflow, read_workflows


def read_workflow_files(names: Sequence[str]) -> Sequence[tuple[str, Workflow]]:
    """Each workflow with the name of its file, in order; raises ConfigError that lists every problem of all files."""
    found: list[tuple[str, Workflow]] = []
    problems: list[str] = []
    for source in read_sources(names, sys.stdin.buffer):
        for read in read_workflows(source.name, source.text):
            if isinstance(read, Rejected):
                problems.extend(read.problems)
            else:
                found.append((source.name, read))
    if problems:
        raise ConfigError("\n       ".join(problems), hint="stigmer help workflows")
    if not found:
        raise ConfigError("the input holds no workflow", hint="stigmer help workflows shows one")
    return found
