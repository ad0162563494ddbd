"""Workflows as files: reads those that are to be applied, and writes what can be applied again."""

from collections.abc import Sequence

import yaml
from pydantic import ValidationError

from stigmer_cli.api.workflows import WorkflowManifest, WorkflowManifestMetadata, WorkflowResource
from stigmer_cli.cli.agents.manifest_yaml import REORDERING, UNWRAPPED, ManifestDumper
from stigmer_cli.cli.context import Cli
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.http import make_http_client
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.workflow.document import API_VERSION, KIND, LocatedWorkflow, Rejected, locate_workflows
from stigmer_cli.workflow.interpreter.interpret import find_unsupported
from stigmer_cli.workflow.runtime import Functions
from stigmer_cli.workflow.yaml_json import CORE
from stigmer_cli.yaml_source import YamlSource


class _Dumper(ManifestDumper):
    """Quotes what YAML 1.2 reads as no text, too: documents are read so."""


for _tag, _pattern, _first in CORE:
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def read_workflow_manifests(cli: Cli, source: YamlSource) -> tuple[Sequence[WorkflowManifest], Sequence[str]]:
    """The workflows of `source`, and every mistake in it, a line each: what no version of this can run is one."""
    manifests: list[WorkflowManifest] = []
    problems: list[str] = []
    functions = cli.run(_list_functions(cli))
    for found in locate_workflows(source.name, source.text):
        if isinstance(found, Rejected):
            problems.extend(found.problems)
            continue
        mistakes = [found.format(problem) for problem in find_unsupported(found.workflow, functions)]
        metadata = _read_metadata(found, mistakes)
        problems.extend(mistakes)
        manifests.append(WorkflowManifest(metadata=metadata, spec=dict(found.workflow.data)))
    return manifests, problems


async def _list_functions(cli: Cli) -> Functions:
    """What workflows can call; only their names count here."""
    async with make_http_client() as client:
        return make_functions(client, cli.clock, ServerSettings(environ=cli.environ), has_children=True)


def _read_metadata(found: LocatedWorkflow, mistakes: list[str]) -> WorkflowManifestMetadata:
    """What a manifest says beside the document; adds to `mistakes` what is wrong with it."""
    data = found.located.data
    about = data.get("metadata") if found.prefix and isinstance(data, dict) else None
    try:
        metadata = WorkflowManifestMetadata.model_validate({} if about is None else about)
    except ValidationError as error:
        for one in error.errors():
            path = ("metadata", *(str(part) for part in one["loc"]))
            mistakes.append(found.format_at(path, f"{'.'.join(path)}: {one['msg']}"))
        return WorkflowManifestMetadata()
    if metadata.name not in (None, found.workflow.name):
        text = f"metadata.name is {metadata.name}, and spec.document.name is {found.workflow.name}: leave it out"
        mistakes.append(found.format_at(("metadata", "name"), text))
    return metadata


def write_workflow(item: WorkflowResource) -> str:
    """One document, which ends with a line break: that of the workflow, or a manifest where it has labels."""
    metadata = {"labels": item.metadata.labels, "annotations": item.metadata.annotations}
    said = {name: value for name, value in metadata.items() if value}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": said, "spec": item.spec}
    document = manifest if said else item.spec
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=UNWRAPPED)
    return text.translate(REORDERING)


def write_workflows(items: Sequence[WorkflowResource]) -> str:
    """Documents for all of `items`; empty if there are none."""
    return "---\n".join(write_workflow(item) for item in items)
