"""What a run says to the server, and what the server answers: claim, attempt, messages, outcome."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.run_report import NUMBER_MAX, Number, RunReport
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.steps import EndedStepBody
from stigmer_cli.api.tasks import ReportedTasks, WorkflowWork
from stigmer_cli.api.usage import UsageBody, UsedBody
from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.idempotency import FIRST, CallGenerations
from stigmer_cli.domain.phase import Phase

TEXT_MAX = 1_000_000
OUTPUT_MAX = 8_000_000
ERROR_MAX = 20_000
DELAY_MAX_S = 30 * 86_400.0
STEPS_MAX = 100

PERFORMS_HEADER, WORKFLOWS = "Stigmer-Performs", "workflows"
"""What a runner says with its reports: that it performs workflows, too. Older runners do not say it, because they take
a workflow for an agent; older servers leave the header alone."""


class ClaimAnswer(StrEnum):
    """What becomes of a claim; scripts may rely on these words.

    LOST: another run holds the epoch, or it is over; the run ends without effect. NOT_MINE: this store knows no such
    execution under the workflow that asks; the run fails, so that the store that owns it starts it again.
    """

    WON = "won"
    LOST = "lost"
    NOT_MINE = "not-mine"


class ClaimRequest(RunReport):
    """A run asks for an epoch of an execution.

    `workflow_id` and `first_run` (the first run of its chain) are how Temporal names it; runners from before stores had
    ids do not send them.
    """

    runner: str = Field(min_length=1, max_length=300)
    workflow_id: str | None = Field(default=None, max_length=1_000)
    first_run: str | None = Field(default=None, max_length=100)


class ClaimResponse(Sent):
    """Whether this run holds the epoch now, and why not; a run that does not must end without effect."""

    won: bool
    reason: ClaimAnswer


class AttemptRequest(RunReport):
    """An attempt of the run that holds the epoch begins."""

    runner: str = Field(min_length=1, max_length=300)
    attempt: Number


class ClaimingAttemptRequest(ClaimRequest):
    """A run asks for an epoch of an execution, and begins an attempt if it holds that."""

    attempt: Number


class FollowUpBody(Sent):
    """A further message of the person, which comes before turn `turn` of the model."""

    turn: int
    message: str


class GenerationsBody(Sent):
    """As `CallGenerations`."""

    present: int
    kept: dict[str, int] = {}


def generations_body(generations: CallGenerations) -> GenerationsBody | None:
    """As it is sent; None where no call was made anew."""
    if not generations.present:
        return None
    return GenerationsBody(present=generations.present, kept=dict(generations.kept))


class Work(Sent):
    """What an attempt has to do. It comes from the store, so that Temporal's history never holds it.

    `begun` counts the attempts of this run that began, this one included: fewer than Temporal handed out, where a
    runner died before it began one. `processes` counts the runner processes that they began in; None from a server that
    does not count these. A process that begins a second attempt did not die of the first one.

    Attempts that ended because the model was busy are not among these: they are `model_tries`. The answer broke off in
    `broken_off` of them. The model has been busy since `model_busy_since` (None: it is not), and `model_busy_s` is for
    how long as the runners measured it: no clock that is set in between changes it.

    `has_steps` says whether the journal of the execution holds steps; None from a server that keeps no journals, which
    must not be told of steps.

    `progressed` is the last attempt of this run that recorded a step; 0: none did. Attempts before it are not counted
    any more, neither among those that began nor among the tries at the model.

    `can_wait`: the server takes the report that the execution has to wait; older ones do not.

    `spec` is what an agent with tools has beside its instructions and its model; None for any other one. `used` is what
    the execution has used so far.

    `conversation` is what was asked and answered before, oldest first. `follow_ups` are further messages of the person,
    behind `message`.

    `workflow` is what a workflow has to do, and None for an agent; then all that only agents have is empty.

    `generations` says which calls a person had made anew; None where there are no such.
    """

    instructions: str
    message: str
    model: str
    agent_name: str
    begun: int = Field(default=1, ge=1)
    processes: int | None = Field(default=None, ge=1)
    model_tries: int = Field(default=0, ge=0)
    broken_off: int = Field(default=0, ge=0)
    model_busy_since: Moment | None = None
    model_busy_s: float = Field(default=0.0, ge=0.0)
    has_steps: bool | None = None
    progressed: int = Field(default=0, ge=0)
    can_wait: bool = False
    spec: LoopSpec | None = Field(default=None, exclude_if=lambda spec: spec is None)
    used: UsedBody | None = Field(default=None, exclude_if=lambda used: used is None)
    follow_ups: list[FollowUpBody] = Field(default=[], exclude_if=lambda follow_ups: not follow_ups)
    conversation: list[ExchangeBody] = Field(default=[], exclude_if=lambda exchanges: not exchanges)
    workflow: WorkflowWork | None = Field(default=None, exclude_if=lambda workflow: workflow is None)
    generations: GenerationsBody | None = Field(default=None, exclude_if=lambda generations: generations is None)

    @property
    def call_generations(self) -> CallGenerations:
        """Which of its calls a person had made anew."""
        found = self.generations
        return FIRST if found is None else CallGenerations(present=found.present, kept=found.kept)


class AttemptResponse(Sent):
    """`work` is None where nothing is left to do: the outcome is there already, or a later attempt has begun."""

    work: Work | None


class ClaimingAttemptResponse(AttemptResponse):
    """Whether the run holds the epoch, and if it does, what there is to do.

    `is_overtaken`: nothing, because a later attempt of the run has begun, and has not ended. Older servers do not say.
    """

    answer: ClaimAnswer
    is_overtaken: bool = False


class CountsResponse(Sent):
    """How often a run's attempts began, and in how many processes; `model_tries` more ended at a busy model.

    Counted from attempt `progressed` on, as in `Work`.
    """

    begun: int
    processes: int
    model_tries: int = 0
    progressed: int = 0


class PostponeRequest(RunReport):
    """An attempt ended because its model is busy; the next one follows in `delay_s` seconds.

    `cause` is a sentence that people read. `busy_s` is for how long the model will have been busy by then, and
    `broke_off` says that the answer had begun, and is withdrawn.
    """

    attempt: Number
    cause: str = Field(min_length=1, max_length=ERROR_MAX)
    delay_s: float = Field(ge=0.0, le=DELAY_MAX_S)
    busy_s: float = Field(ge=0.0)
    broke_off: bool = False


class MessageReport(RunReport):
    """`text` stands at `offset` (in characters) of message `index`; sending it twice is sending it once."""

    attempt: Number
    index: int = Field(ge=0, le=100_000)
    offset: int = Field(ge=0, le=NUMBER_MAX)
    role: str = Field(min_length=1, max_length=40)
    text: str = Field(max_length=TEXT_MAX)


class MessageTail(Asked):
    """The end of a message that was not reported yet: `text` stands at `offset` (in characters) of message `index`."""

    index: int = Field(ge=0, le=100_000)
    offset: int = Field(ge=0, le=NUMBER_MAX)
    role: str = Field(min_length=1, max_length=40)
    text: str = Field(max_length=TEXT_MAX)


class UsageReport(RunReport):
    """What an attempt used that ends without an outcome; each attempt reports its usage once."""

    attempt: Number
    usage: UsageBody


class OutcomeReport(RunReport):
    """How the run ended; without `attempt` it is the workflow's own report.

    `usage` is the attempt's. `tail` is what it said last, and `steps` what it has not recorded yet: all count, or none.
    `steps` is left out where it is empty, because older servers refuse it.

    Of a workflow, `output` is JSON text, `error_fields` are those of the error that it ended with (`type`, `status`,
    `title`, `detail`, `instance`), and `tasks` are the last ones that changed.
    """

    attempt: Number | None = None
    phase: Literal[Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED]
    output: str | None = Field(default=None, max_length=OUTPUT_MAX)
    error: str | None = Field(default=None, max_length=ERROR_MAX)
    usage: UsageBody | None = None
    tail: MessageTail | None = None
    steps: list[EndedStepBody] = Field(default=[], max_length=STEPS_MAX, exclude_if=lambda steps: not steps)
    error_fields: dict[str, JsonValue] | None = Field(default=None, exclude_if=lambda fields: fields is None)
    tasks: ReportedTasks


class ReportResponse(Sent):
    """Whether the report counted; if False, the run no longer holds the execution and must end without effect."""

    taken: bool
