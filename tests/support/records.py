"""Records of executions as a test wants them, in place of the store's."""

from collections.abc import Mapping, Sequence

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.progress import Progress, StepInTheAir
from tests.support.fakes import START

SENDING = Progress(in_the_air=StepInTheAir(key="/turns/0/calls/0", name="send", since=START, runner="runner-1"))
"""A step is in the air whose effect must not happen twice."""


class Recorded:
    """What is recorded of executions: of those that are `named`, or of all."""

    def __init__(self, progress: Progress, named: set[ExecutionId] | None = None) -> None:
        self.progress = progress
        self.named = named

    async def read(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Progress]:
        """The same of each."""
        return {id_: self.progress for id_ in ids if self.named is None or id_ in self.named}
