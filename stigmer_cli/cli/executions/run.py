"""`stigmer run`: runs an agent or a workflow once, from the request to the answer."""

import sys

from stigmer_cli.api.resources import LABELS_MAX, MESSAGE_MAX, ExecutionRequest, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.executions.create import Creation, create, make_creation
from stigmer_cli.cli.executions.limits import parse_limits
from stigmer_cli.cli.executions.options import Message, RunOptions
from stigmer_cli.cli.executions.run_target import find_target, read_target
from stigmer_cli.cli.executions.watch import watch_to_end
from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.cli.workflows.given_input import read_given_input
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.labels import parse_label_selector
from stigmer_cli.errors import ConfigError

STDIN = "-"
HELP = "stigmer run --help"
MESSAGE_BYTES_MAX = 4 * MESSAGE_MAX
"""A character is four bytes of UTF-8 at most."""


def run_name(cli: Cli, name: str, message: Message, options: RunOptions) -> int:
    """Run the agent or the workflow, print what it gives, or the id if detached, and return the exit code."""
    target = read_target(name, message, options) or cli.call(lambda client: find_target(client, name))
    if target.kind is Kind.AGENT:
        return _run_agent(cli, target.name, message, options)
    return _run_workflow(cli, target.name, options)


def _run_workflow(cli: Cli, workflow: str, options: RunOptions) -> int:
    request = ExecutionRequest(
        workflow=workflow, input=read_given_input(options.given_input), labels=_read_labels(options)
    )
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    return run_creation(cli, wanted, options)


def _read_labels(options: RunOptions) -> dict[str, str]:
    if len(options.labels) > LABELS_MAX:
        raise ConfigError(f"{len(options.labels)} labels are more than {LABELS_MAX}", hint=HELP)
    return {selector.key: selector.value or "" for selector in map(parse_label_selector, options.labels)}


def _run_agent(cli: Cli, agent: str, message: Message, options: RunOptions) -> int:
    text = _read_message(message)
    if not text.strip():
        raise ConfigError("the message is empty", hint=HELP)
    labels, limits = _read_labels(options), parse_limits(options.limits)
    request = ExecutionRequest(agent=agent, message=text, labels=labels, session=options.session, limits=limits)
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    return run_creation(cli, wanted, options)


def run_creation(cli: Cli, wanted: Creation, options: RunOptions) -> int:
    """Create it, print its answer, or the id if detached, and return the exit code."""
    if options.is_detached:
        _print_accepted(cli, cli.call(lambda client: create(cli, client, wanted, timeout_s=options.timeout_s)))
        return 0
    return cli.run(_run(cli, wanted, options.timeout_s))


def _read_message(given: Message) -> str:
    """The message, from the file or from standard input if it is there; raises ConfigError if it is no text."""
    match given:
        case Message(text=str(), file=str()):
            raise ConfigError("the message is given twice: as an argument and as a file", hint=HELP)
        case Message(text=None, file=None):
            raise ConfigError("missing argument 'MESSAGE', or --file FILE", hint=HELP)
        case Message(file=str() as name) if name != STDIN:
            return _decode(read_input_file(name, bytes_max=MESSAGE_BYTES_MAX, hint=HELP), name)
        case Message(text=str() as text) if text != STDIN:
            return text
        case _:
            return _decode(sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 1), "standard input")


def _decode(data: bytes, name: str) -> str:
    """`data` as text, without the end of line at its end, and the byte order mark of Windows at its beginning."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise _explain_length(name)
    try:
        text = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the message in {name} is not UTF-8 text (byte {error.start})", hint=HELP) from None
    if len(text) > MESSAGE_MAX:
        raise _explain_length(name)
    return text


def _explain_length(name: str) -> ConfigError:
    return ConfigError(f"the message in {name} is longer than {MESSAGE_MAX:,} characters", hint=HELP)


async def _run(cli: Cli, wanted: Creation, timeout_s: float | None) -> int:
    async with cli.client() as client:
        execution = await create(cli, client, wanted, timeout_s=timeout_s)
        return await watch_to_end(cli, client, execution.metadata.id, timeout_s)


def _print_accepted(cli: Cli, execution: ExecutionResource) -> None:
    cli.out.result(execution.to_wire(), lambda console: console.print(execution.metadata.id, soft_wrap=True))
    if not execution.status.dispatch.run_id:
        cli.out.note(f"queued: {describe_reason(execution)}")
