"""Records of executions as a test wants them, in place of the store's."""

from collections.abc import Mapping, Sequence

from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.step import Effect, Step, StepKind, StepState
from tests.support.fakes import START

SENDING = Progress(
    in_the_air=Step(
        seq=2,
        key="/turns/0/calls/0",
        kind=StepKind.TOOL,
        name="send",
        effect=Effect.ONCE,
        state=StepState.BEGUN,
        attempts=1,
        started_at=START,
        epoch=1,
        run=RunId("run-1"),
        attempt=1,
        runner="runner-1",
        input_hash="",
    )
)
"""A step is in the air whose effect must not happen twice."""


class Recorded:
    """What is recorded of executions: of those that are `named`, or of all."""

    def __init__(self, progress: Progress, named: set[ExecutionId] | None = None) -> None:
        self.progress = progress
        self.named = named

    async def read(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Progress]:
        """The same of each."""
        return {id_: self.progress for id_ in ids if self.named is None or id_ in self.named}
