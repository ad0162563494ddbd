"""`stigmer workflows test`: runs a workflow in this process, without a stack."""

import json
import random
from collections.abc import Mapping, Sequence

from rich.console import Console

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.workflows.given_input import read_given_input
from stigmer_cli.cli.workflows.local_events import read_local_events
from stigmer_cli.cli.workflows.local_world import LocalWorld, TaskRecord
from stigmer_cli.cli.workflows.read import read_workflow_files
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.http import make_http_client
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.time_format import span
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import find_unsupported, interpret
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts, Functions


def run_workflow(cli: Cli, name: str, given: str | None, events: Sequence[str] = ()) -> int:
    """Run the one workflow in the file `name`, print its output, and return the exit code: 1 if it faulted.

    `events` are JSON, or files of it.

    Raises ConfigError for a file that holds no workflow or several, an input that is no JSON, and a task that this
    version cannot run.
    """
    found = read_workflow_files([name])
    if len(found) > 1:
        raise ConfigError(
            f"{name} holds {len(found)} workflows: name a file with one", hint="stigmer workflows test FILE"
        )
    [(_, workflow)] = found
    value: Json = read_given_input(given)
    is_told = cli.out.stderr.is_terminal
    world = LocalWorld(
        cli.clock,
        lambda record: _tell(cli, record) if is_told else None,
        events=read_local_events(events),
        has_timeouts='"timeout":' in json.dumps(workflow.data),
    )
    error: Mapping[str, Json] | None = None
    output: Json = None
    try:
        output = cli.run(_run(cli, workflow, value, world))
    except WorkflowError as raised:
        error = raised.fields
    status = {
        "phase": Phase.FAILED if error else Phase.COMPLETED,
        "output": output,
        "error": error,
        "tasks": [record.to_wire() for record in world.tasks.values()],
    }
    cli.out.result({"workflow": workflow.label, "status": status}, lambda console: _print(console, output, error))
    return 1 if error else 0


async def _run(cli: Cli, workflow: Workflow, given: Json, world: LocalWorld) -> Json:
    evaluator = Evaluator()
    async with make_http_client() as client:
        functions = make_functions(client, cli.clock, ServerSettings(environ=cli.environ))
        _refuse_unsupported(workflow, functions)
        facts = ExecutionFacts(id=_make_id(cli), started_ms=world.now_ms(), runtime_version=RUNNING_VERSION)
        try:
            return await interpret(workflow, given, facts=facts, world=world, functions=functions, evaluator=evaluator)
        finally:
            await evaluator.close()


def _make_id(cli: Cli) -> ExecutionId:
    return IdGenerator(cli.clock, random.SystemRandom()).execution_id(Kind.WORKFLOW)


def _refuse_unsupported(workflow: Workflow, functions: Functions) -> None:
    problems = find_unsupported(workflow, functions)
    if problems:
        lines = "\n       ".join(problem.text for problem in problems)
        raise ConfigError(lines, hint="stigmer help workflows lists what this version runs")


def _tell(cli: Cli, record: TaskRecord) -> None:
    took = span(record.took_s) if record.took_s is not None else ""
    cli.out.note(strip_control_sequences(f"{record.phase:9}  {took:>8}  {record.path}"))


def _print(console: Console, output: Json, error: Mapping[str, Json] | None) -> None:
    shown = {"error": error} if error else output
    text = json.dumps(shown, ensure_ascii=False, indent=2)
    console.print(strip_control_sequences(text), soft_wrap=True, highlight=False, markup=False)
