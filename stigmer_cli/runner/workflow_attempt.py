"""One attempt at an execution of a workflow: interpret it over the journal, and tell the server what its tasks do."""

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

import httpx
import structlog
from pydantic import JsonValue

from stigmer_cli.api.reports import OUTPUT_MAX, Work
from stigmer_cli.api.tasks import TaskReportBody, TasksReport, WorkflowWork
from stigmer_cli.api.waiting import CHILDREN_MAX, DELAY_MAX_S
from stigmer_cli.clock import Clock, iso
from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.secret import find_name_problem, list_names
from stigmer_cli.domain.step import Effect
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import Unavailable
from stigmer_cli.json_text import dump_json, is_deeper, read_json
from stigmer_cli.runner.attempt_end import End, fail
from stigmer_cli.runner.attempt_identity import Attempt, Superseded
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.http import make_http_client
from stigmer_cli.runner.journal import Journal, StepParked
from stigmer_cli.runner.listening import describe_waits, make_listeners
from stigmer_cli.runner.reports import ClockAndRng, Reporter, ReportRefused
from stigmer_cli.runner.secrets import SecretMissing, Secrets
from stigmer_cli.runner.task_reporter import TaskReporter
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.runner.waits import Wait, to_cause
from stigmer_cli.runner.workflow_journal import AttemptState, WorkflowJournal, describe_error
from stigmer_cli.runner.workflow_world import RunnerWorld, name_timer
from stigmer_cli.secret_values import DELIVERED, SecretValues
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.workflow.document import make_workflow
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import interpret
from stigmer_cli.workflow.interpreter.run import shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts, Functions, TaskStep, Waits

ERROR_FIELDS_CHARS_MAX = 16_000
"""How much JSON text the fields of an error may be; of longer ones only those of the specification are told, cut."""

FIELDS_DEPTH_MAX = 60
"""How deep the fields of an error may be nested: a little less than a whole request may be."""

OUTPUT_DEPTH_MAX = 128
"""Whoever asks for an execution gets its output within a JSON object, and pydantic writes and reads some 200 levels."""

STANDARD_FIELDS = ("type", "status", "title", "detail", "instance")
FIELD_CHARS_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the attempts of a runner share. `client` is the one that `functions` call with."""

    evaluator: Evaluator
    functions: Functions
    client: httpx.AsyncClient | None = None

    async def perform(
        self,
        reporter: Reporter,
        clock_and_rng: ClockAndRng,
        *,
        attempt: Attempt,
        work: Work,
        is_leaving: Callable[[], bool],
    ) -> End | Wait | None:
        """See `Workflows.perform`."""
        with structlog.contextvars.bound_contextvars(execution=attempt.execution):
            return await WorkflowAttempt(self, reporter, clock_and_rng, attempt, work, is_leaving).run()

    async def close(self) -> None:
        """End the process of expressions, and close the connections."""
        await self.evaluator.close()
        if self.client is not None:
            await self.client.aclose()


def make_shared(settings: ServerSettings, clock: Clock) -> Shared:
    """What the attempts of a runner share, which starts servers of tools, and asks others, as `settings` say."""
    client = make_http_client(settings.proxies)
    return Shared(
        evaluator=Evaluator(),
        functions=make_functions(client, clock, settings, _log_line, has_children=True),
        client=client,
    )


class _WatchedEvaluator(Evaluator):
    """Notes that an attempt ends for the want of an evaluation, before that cuts off what other branches do."""

    def __init__(self, evaluator: Evaluator, state: AttemptState) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._state = state

    async def evaluate(self, code: str, on: Json, variables: Mapping[str, Json]) -> Json:
        """See `Evaluator`."""
        with self._watch():
            return await self._evaluator.evaluate(code, on, variables)

    async def find_misfit(self, value: Json, schema: Mapping[str, Json]) -> str:
        """See `Evaluator`."""
        with self._watch():
            return await self._evaluator.find_misfit(value, schema)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            self._state.note_end()
            raise


def _log_line(line: str) -> None:
    """Of which execution it is, says the context that its attempt is bound to."""
    structlog.get_logger().info("process_wrote", text=line)


class WorkflowAttempt:
    """One attempt, from what the server gave it to its end."""

    def __init__(
        self,
        shared: Shared,
        reporter: Reporter,
        clock_and_rng: ClockAndRng,
        attempt: Attempt,
        work: Work,
        is_leaving: Callable[[], bool],
    ) -> None:
        assert work.workflow is not None  # noqa: S101 - who performs an agent has another class
        self._shared = shared
        self._reporter = reporter
        self._clock_and_rng = clock_and_rng
        self._attempt = attempt
        self._given: WorkflowWork = work.workflow
        self._generations = work.call_generations
        self._state = AttemptState()
        self._secrets = SecretValues()
        self._tasks = TaskReporter(clock_and_rng.clock, self._send_tasks)
        steps = Journal(
            attempt,
            reporter,
            clock_and_rng,
            has_steps=work.has_steps is not False,
            is_leaving=is_leaving,
            cut_off=self._state.describe_cut_off,
            begins={Effect.ONCE},  # what is performed is seen by its task: a request less for each call
        )
        has_secrets = bool(list_names(self._given.document))
        self._journal = WorkflowJournal(steps, self._state, self._secrets if has_secrets else None)
        self._world = RunnerWorld(
            self._journal,
            self._tasks,
            clock_and_rng,
            reporter=reporter,
            execution=attempt.execution,
            began_ms=self._given.now_ms,
        )

    async def run(self) -> End | Wait | None:
        """How it ended; None where the server wants no more of it. Raises what the journal does."""
        ended: End | Wait | None = None
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._tell_tasks(), name="tasks of a workflow")
                try:
                    ended = await self._run_to_end()
                except StepParked:  # what was done until then is to be seen
                    self._tasks.close()
                    await sending
                    await self._send_tasks(self._tasks.take())
                    raise
                self._tasks.close()
        except* Superseded:
            ended = None
        return replace(ended, tasks=self._tasks.take()) if ended is not None else None

    async def _run_to_end(self) -> End | Wait:
        """How the workflow ended. It is noted before what it does is cut off that this is the end of the attempt."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._interpret(), name="workflow")
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                self._state.note_end()
                raise
        ended = task.result()
        if isinstance(ended, Exception):
            raise ended
        return ended

    async def _interpret(self) -> End | Wait | Exception:
        """How it ended, or what ends the attempt without a report: as it is, not in a group."""
        try:
            document = cast("Mapping[str, Json]", self._given.document)
            facts = ExecutionFacts(
                id=self._attempt.execution,
                started_ms=self._given.started_ms,
                runtime_version=self._given.runtime_version,
                secrets=await self._read_secrets(),
                tasks_max=self._given.tasks_max,
                generations=self._generations,
            )
            output = await interpret(
                make_workflow(document),
                cast("Json", self._given.input),
                facts=facts,
                world=self._world,
                functions=self._shared.functions,
                evaluator=_WatchedEvaluator(self._shared.evaluator, self._state),
                note_end=self._state.note_end,
            )
            return End(outcome=Outcome(phase=Phase.COMPLETED, output=_write_output(output)))
        except WorkflowError as error:
            return _fail_with(error)
        except Waits as waits:
            return await self._wait(waits)
        except Exception as error:  # noqa: BLE001 - raised again by the caller
            return error

    async def _wait(self, waits: Waits) -> Wait:
        """The wait for what `waits` says, or for as long as one wait may take: then it goes on."""
        listening = make_listeners(waits.listenings)
        children = waits.children[:CHILDREN_MAX]
        word = WaitFor.EVENT if listening else WaitFor.EXECUTION if children else WaitFor.TIME
        said = "; ".join(describe_waits(waits))
        if waits.until_ms is None:
            step, cause = shorten_key(waits.key), to_cause(said)
            return Wait(wait_for=word, cause=cause, step=step, listening=listening, children=children)
        now_ms = self._world.now_ms()
        until_ms = min(waits.until_ms, now_ms + int(DELAY_MAX_S * 1_000))
        timer, name = name_timer(waits.key, until_ms), waits.key.rpartition("/")[2]
        moment = iso(datetime.fromtimestamp((waits.until_ms - self._world.ahead_ms) / 1_000, UTC))
        return Wait(
            wait_for=word,
            cause=to_cause(said or f"{waits.key} waits until {moment}"),
            listening=listening,
            children=children,
            step=timer,
            delay_s=max(0, until_ms - now_ms) / 1_000,
            # One that is done says that the server has seen the time come, by a clock that was set since.
            timer=None if await self._journal.is_recorded(timer) else self._journal.draft_timer(timer, name),
        )

    async def _read_secrets(self) -> Mapping[str, Json]:
        """The secrets that the document names, as far as there are such. Raises WorkflowError."""
        names = list_names(self._given.document)
        if not names:
            return {}
        try:
            found = await Secrets(self._reporter).read(names)
        except SecretMissing as error:
            raise make_error(ErrorType.AUTHORIZATION, error.message) from error
        await self._note_secrets(names, found)
        for text in found.values():
            self._secrets.remember(text)
        parsed = {name: _parse_secret(text) for name, text in found.items()}
        for value in parsed.values():
            for leaf in _list_texts(value):  # whatever the name of the member: it stands in a secret
                self._secrets.remember(leaf)
                DELIVERED.remember(leaf)
        return parsed

    async def _note_secrets(self, names: Sequence[str], found: Collection[str]) -> None:
        """Record which secrets there are. Raises WorkflowError for one that is gone since.

        Without it, a condition or a `try` could send the replay another way than the attempt that had it.
        """

        async def tell() -> Json:
            return True

        for name in names:
            key = f"/secrets/{name}"
            if name in found:
                step = TaskStep(key=key, name=f"secret {name}", effect=Effect.NONE, input=None)
                await self._journal.perform(step, tell)
            elif not find_name_problem(name) and await self._journal.find(key):  # else there never was one
                detail = f"the secret {name}, which this execution has had, is not there any more: set it, and resume"
                raise make_error(ErrorType.AUTHORIZATION, f"{detail} {self._attempt.execution}")

    async def _tell_tasks(self) -> None:
        if not await self._tasks.send_until_closed():
            raise Superseded

    async def _send_tasks(self, tasks: Sequence[TaskReportBody]) -> bool:
        if not tasks:
            return True
        attempt = self._attempt
        report = TasksReport(epoch=attempt.epoch, run=attempt.run, attempt=attempt.number, tasks=list(tasks))
        try:
            return await self._reporter.ask_its_own(lambda reports: reports.report_tasks(attempt.execution, report))
        except ReportRefused as error:  # tasks are shown: nothing depends on them
            structlog.get_logger().warning("tasks_refused", tasks=len(tasks), cause=error.message)
            return True


def _parse_secret(text: str) -> Json:
    """An object where `text` is one as JSON, such as the properties of an authentication; else the text."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: Json = read_json(text)
    except ValueError:
        return text
    return found


def _list_texts(value: Json) -> Iterator[str]:
    """The texts in the members of an object, however deep."""
    pending: list[Json] = [value] if isinstance(value, Mapping) else []
    while pending:
        found = pending.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, Mapping):
            pending += found.values()
        elif isinstance(found, Sequence):
            pending += found


def _write_output(output: Json) -> str:
    """The output as it is kept: JSON text without secrets. Raises WorkflowError where that is too long, or too deep."""
    try:
        text = dump_json(output)
    except (ValueError, TypeError, RecursionError) as error:
        raise make_error(ErrorType.RUNTIME, f"the output of the workflow is no JSON: {error}") from error
    if text.count("[") + text.count("{") > OUTPUT_DEPTH_MAX and is_deeper(output, OUTPUT_DEPTH_MAX):
        detail = f"the output of the workflow is nested deeper than {OUTPUT_DEPTH_MAX} levels"
        raise make_error(ErrorType.RUNTIME, detail)
    if (length := len(text.encode())) <= OUTPUT_MAX:  # a request is limited in bytes
        text = DELIVERED.redact_json(text)
        length = len(text.encode())
    if length > OUTPUT_MAX:
        detail = f"the output of the workflow is too long: {length:,} bytes as JSON, of {OUTPUT_MAX:,}"
        raise make_error(ErrorType.RUNTIME, detail)
    return text


def _fail_with(error: WorkflowError) -> End:
    """The end of a workflow with an error that no `try` caught."""
    where = error.fields.get("instance")
    sentence = f"{describe_error(error)}{f' (raised by {where})' if where else ''}"
    return End(outcome=fail(to_storable(sentence)), error_fields=_write_fields(error.fields))


def _write_fields(fields: Mapping[str, Json]) -> Mapping[str, JsonValue]:
    """The fields of an error as they are kept: without secrets, neither too long nor too deep for a request."""
    if is_deeper(fields, FIELDS_DEPTH_MAX):
        fields = {
            name: "nested too deep" if is_deeper(fields[name], FIELDS_DEPTH_MAX) else fields[name]
            for name in STANDARD_FIELDS
            if name in fields
        }
    text = DELIVERED.redact_json(to_storable(dump_json(dict(fields))))
    found: Mapping[str, JsonValue] = json.loads(text)
    if len(text) > ERROR_FIELDS_CHARS_MAX:
        return {name: _cut(found[name]) for name in STANDARD_FIELDS if name in found}
    return found


def _cut(value: JsonValue) -> JsonValue:
    return value[:FIELD_CHARS_MAX] if isinstance(value, str) else value if isinstance(value, int) else str(value)[:100]
