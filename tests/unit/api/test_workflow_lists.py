"""A list of workflows may leave their documents out."""

from stigmer_cli.api.workflows import WorkflowResource
from stigmer_cli.domain.workflow_definition import WorkflowDefinition
from stigmer_cli.server.routes.workflows import workflow_resource
from tests.contracts.store.test_workflows import ID
from tests.support.fakes import START


def test_a_workflow_whose_document_was_not_read_is_sent_and_read_without_one() -> None:
    def sent(document: str) -> dict[str, object]:
        found = WorkflowDefinition(
            id=ID,
            namespace="shop",
            name="order",
            version="1",
            document=document,
            version_id="v",
            created_at=START,
            updated_at=START,
        )
        return workflow_resource(found).to_wire()

    assert sent('{"do":[]}')["spec"] == {"do": []}
    short = sent("")
    assert "spec" not in short
    assert WorkflowResource.model_validate(short).full_name == "shop/order"
