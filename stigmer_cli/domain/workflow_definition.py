"""Workflows as they are kept: a name within a namespace, and the document that was applied last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stigmer_cli.domain.identity import WorkflowDefinitionId


@dataclass(frozen=True, kw_only=True)
class WorkflowDefinition:
    """A workflow as stored. `version` is what its document says. `document` is JSON text, empty where it was not read.

    `version_id` names this document: a hash.
    """

    id: WorkflowDefinitionId
    namespace: str
    name: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    document: str
    version_id: str
    created_at: datetime
    updated_at: datetime

    @property
    def full_name(self) -> str:
        """What names it alone, whatever other namespaces hold: `NAMESPACE/NAME`."""
        return f"{self.namespace}/{self.name}"
