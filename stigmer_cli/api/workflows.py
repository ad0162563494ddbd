"""Workflows on the wire: manifests that are applied, and workflows as the server sends them."""

from typing import Literal

from pydantic import Field, JsonValue

from stigmer_cli.api.resources import (
    API_VERSION,
    LABELS_MAX,
    NAME_MAX,
    AgentManifest,
    AgentStatus,
    AppliedItem,
    Label,
    SentMetadata,
)
from stigmer_cli.api.wire import Asked, Moment, Sent

WORKFLOWS_MAX = 500


class WorkflowManifestMetadata(Asked):
    """What a manifest may say of a workflow beside its document, which names it; another `name` is refused."""

    name: str | None = Field(default=None, max_length=NAME_MAX)
    labels: Label = Field(default_factory=dict, max_length=LABELS_MAX)
    annotations: Label = Field(default_factory=dict, max_length=LABELS_MAX)


class WorkflowManifest(Asked):
    """A workflow to be applied; `spec` is a document of the Open Workflow DSL."""

    api_version: Literal["agentic.stigmer.ai/v1"] = "agentic.stigmer.ai/v1"
    kind: Literal["Workflow"] = "Workflow"
    metadata: WorkflowManifestMetadata = Field(default_factory=WorkflowManifestMetadata)
    spec: dict[str, JsonValue]


class ApplyWorkflowsRequest(Asked):
    """Workflows, and agents with them, that are applied together, all or none.

    `dry_run`: only say what would be done.
    """

    items: list[WorkflowManifest] = Field(min_length=1, max_length=WORKFLOWS_MAX)
    agents: list[AgentManifest] = Field(default=[], max_length=WORKFLOWS_MAX)
    dry_run: bool = False


class WorkflowMetadata(SentMetadata):
    """What names a workflow: `name` within `namespace`. `version` is what its document says of itself."""

    namespace: str
    version: str
    updated_at: Moment


class WorkflowResource(Sent):
    """A workflow; `spec` is its document, which a list may leave out. `status` only where it was asked for."""

    api_version: str = API_VERSION
    kind: str = "Workflow"
    metadata: WorkflowMetadata
    spec: dict[str, JsonValue] = Field(default={}, exclude_if=lambda spec: not spec)
    status: AgentStatus | None = Field(default=None, exclude_if=lambda status: status is None)

    @property
    def full_name(self) -> str:
        """`NAMESPACE/NAME`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class AppliedWorkflowItem(Sent):
    """What applying one workflow did: `created`, `updated` or `unchanged`; `before`: what there was before."""

    verb: str
    workflow: WorkflowResource
    before: WorkflowResource | None = Field(default=None, exclude_if=lambda before: before is None)


class ApplyWorkflowsResponse(Sent):
    """In the order of the request."""

    items: list[AppliedWorkflowItem]
    agents: list[AppliedItem]


class WorkflowPage(Sent):
    """Workflows by name and namespace; `next_cursor` is what `cursor` takes for the page after."""

    items: list[WorkflowResource]
    next_cursor: str | None = None
