"""Workflows as files: what `workflows get -o yaml` prints is what was applied."""

from typing import Any

import pytest

from stigmer_cli.api.workflows import WorkflowMetadata, WorkflowResource
from stigmer_cli.cli.workflows.manifest import write_workflow, write_workflows
from stigmer_cli.workflow.document import Workflow, read_workflows
from tests.support.fakes import START

ABOUT = {"dsl": "1.0.3", "namespace": "shop", "name": "pets", "version": "1.0.0"}


def resource(value: Any, labels: dict[str, str] | None = None) -> WorkflowResource:
    return WorkflowResource(
        metadata=WorkflowMetadata(
            name="pets",
            slug="pets",
            id="wfl-1",
            namespace="shop",
            version="1.0.0",
            labels=labels or {},
            created_at=START,
            updated_at=START,
        ),
        spec={"document": ABOUT, "do": [{"a": {"set": {"value": value}}}]},
    )


VALUES = ["1e3", "0o17", "on", "yes", "~", "12:30", "2026-11-26", "", "a\nb\n", "${ .x }", 1e20, 1, True, None, "é\x1b"]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("labels", [{}, {"team": "a"}], ids=["bare", "labelled"])
def test_what_is_written_is_read_as_the_same_document(value: Any, labels: dict[str, str]) -> None:
    [found] = read_workflows("x.yaml", write_workflow(resource(value, labels)))
    assert isinstance(found, Workflow)
    assert found.data == resource(value).spec


def test_only_a_workflow_with_labels_is_written_as_a_manifest() -> None:
    text = write_workflows([resource(1), resource(1, {"team": "a"})])
    bare, labelled = text.split("---\n")
    assert bare.startswith("document:\n")
    assert labelled.startswith("apiVersion: agentic.stigmer.ai/v1\nkind: Workflow\nmetadata:\n  labels:\n    team: a\n")
