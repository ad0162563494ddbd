"""Steps as a runner sends them to a store, for the contracts about journals."""

from stigmer_cli.domain.execution import Attention, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.step import Effect, Step, StepKind, StepState
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.steps import Begun
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RUN

USED = TokenUsage(model="m", input_tokens=3, output_tokens=2)
DONE = StepEnd(state=StepState.DONE, result='"sent"', took_s=2.0)


def draft(
    key: str = "/turns/0/calls/0",
    *,
    effect: Effect = Effect.ONCE,
    nonce: str = "nonce-1",
    input_hash: str = "hash",
    input_text: str | None = '{"to":"me"}',
) -> StepDraft:
    return StepDraft(
        key=key,
        kind=StepKind.TOOL,
        name="send_mail",
        effect=effect,
        nonce=nonce,
        input_hash=input_hash,
        input=input_text,
    )


async def begin(
    store: Store, id_: ExecutionId, step: StepDraft, *, epoch: int = 1, run: RunId = RUN, attempt: int = 1
) -> Begun:
    return await store.steps.begin(id_, epoch=epoch, run=run, attempt=attempt, draft=step)


async def finish(
    store: Store, id_: ExecutionId, step: StepDraft, end: StepEnd = DONE, *, attempt: int = 1
) -> ReportResult:
    return await store.steps.finish(id_, epoch=1, run=RUN, attempt=attempt, step=EndedStep(draft=step, end=end))


async def begin_attempt(store: Store, id_: ExecutionId, attempt: int) -> None:
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner=f"mill-{attempt}")


async def listed(store: Store, id_: ExecutionId) -> list[Step]:
    return list(await store.steps.list(id_, after=0, limit=1_000))


async def attention(store: Store, id_: ExecutionId) -> Attention | None:
    return (await store.executions.get(id_)).attention
