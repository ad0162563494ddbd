"""Workflows on our task queue that Stigmer did not start: each fails once, instead of failing its tasks for ever."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import DataConverter, DefaultPayloadConverter
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from stigmer_cli.runner.contract import SENTENCES, FailureKind


@workflow.defn(dynamic=True)
class ForeignRun:
    """A workflow of a type that no runner knows."""

    @workflow.run
    async def run(self, given: Sequence[RawValue]) -> str:  # noqa: ARG002 - the signature of a dynamic workflow
        """Fail the workflow, whatever it was given."""
        kind = FailureKind.MALFORMED
        raise ApplicationError(SENTENCES[kind], type=kind, non_retryable=True)


class LenientPayloads(DefaultPayloadConverter):
    """The SDK's converter, with None for what cannot be decoded: the workflow then sees that it is nonsense."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values; never raises for what somebody else has written."""
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001 - KeyError, RuntimeError and whatever a decoder raises
            return [None] * len(payloads)


def lenient(client: Client) -> Client:
    """`client` with a converter that refuses nothing."""
    config = client.config()
    config["data_converter"] = DataConverter(payload_converter_class=LenientPayloads)
    return Client(**config)
