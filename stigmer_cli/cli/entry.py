"""The entry point: reads the environment once, and turns every result and every error into an exit code.

typer is imported where a command line needs it.
"""

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.first_process import go_on_as_child
from stigmer_cli.cli.output import Output, discard_stdout, find_format
from stigmer_cli.cli.termination import raised_on_termination
from stigmer_cli.cli.wait import expand_bare_wait
from stigmer_cli.errors import ConfigError, MachineError, StigmerError, reason_of
from stigmer_cli.inherited_signals import reset_inherited_signals
from stigmer_cli.lean_imports import postpone_collections, postpone_methods, skip_command_of_httpx
from stigmer_cli.libpq import TAKEN
from stigmer_cli.paths import find_user_home, find_working_directory

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
USAGE = 2
VERSION_LINES = (["--version"], ["version"])
PART_LINES = (["serve"], ["work"])
COMPLETION = "_STIGMER_COMPLETE"
"""The variable by which a shell asks for completions."""

PLUGINS_OF_PYDANTIC = "PYDANTIC_DISABLE_PLUGINS"
"""Without it pydantic reads the metadata of all installed packages in search of plugins. Parts do not inherit it."""

DROPS_DOCSTRINGS = 2
"""The level of Python's optimisation from which on it does."""

FORCE_COLOR, NOT_FORCED = "FORCE_COLOR", ("0", "false")
KEY_LOG, NATIVE_WORKERS = "SSLKEYLOGFILE", "TOKIO_WORKER_THREADS"

OUTPUT_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""The errors of a write to a full or failing disk, and to what is open for reading only."""


def main() -> None:
    """Run `stigmer` with the arguments of this process and exit.

    The process ends at once, without the interpreter's own shutdown, which would wait for threads that cannot be
    stopped, or free what they use. The SDK's native code then crashes (SIGSEGV) or hangs while it connects, and a read
    from a dead network file system never returns.
    """
    _start_with_docstrings()
    postpone_collections()
    postpone_methods()
    skip_command_of_httpx()
    if sys.platform != "win32":
        reset_inherited_signals()
        go_on_as_child()
        _keep_owner_rights()
    _open_missing_streams()
    _have_streams_wait()
    _forget_empty_home()
    _forget_unforced_colours()
    _forget_unusable_key_log()
    _forget_unusable_workers()
    _escape_unencodable()
    code = invoke(sys.argv[1:])
    os._exit(_flush_output(code))


def _start_with_docstrings() -> None:
    """Start again without `-OO` (PYTHONOPTIMIZE=2), which drops docstrings: the help of commands and checks is there.

    The parts of a stack inherit that.
    """
    if sys.flags.optimize < DROPS_DOCSTRINGS or not sys.executable:
        return
    arguments = [sys.executable, "-P", "-m", "stigmer_cli.cli", *sys.argv[1:]]
    environ = {**os.environ, "PYTHONOPTIMIZE": str(DROPS_DOCSTRINGS - 1)}
    os.execve(sys.executable, arguments, environ)  # noqa: S606 - this very program


def invoke(arguments: Sequence[str]) -> int:
    """Run `stigmer ARGUMENTS`, print its result or its error, and return the exit code."""
    cli = Cli(environ=dict(os.environ), user_home=find_user_home(), working_directory=find_working_directory())
    os.environ[PLUGINS_OF_PYDANTIC] = "__all__"
    for name in TAKEN:  # the settings have them already, and the client library would read them again
        os.environ.pop(name, None)
    try:
        with raised_on_termination(cli.note_termination):
            code = _run(cli, arguments)
        return _report_interrupt(cli) if code == INTERRUPTED else code  # how typer returns a KeyboardInterrupt
    except StigmerError as error:
        with suppress(OSError):  # nobody reads it, or the disk is full: the exit code still tells
            cli.out.error(error)
        return error.exit_code
    except BrokenPipeError:
        return _end_quietly()
    except OSError as error:
        if error.errno not in OUTPUT_FAULTS:
            raise
        return _report_unwritten(error)
    except KeyboardInterrupt:
        return _report_interrupt(cli)


def _complete(cli: Cli, arguments: Sequence[str]) -> int:
    """Answer a shell that completes a word; whatever goes wrong, it gets an empty answer."""
    from stigmer_cli.cli.completion.complete import complete  # noqa: PLC0415 - for completions only
    from stigmer_cli.cli.completion.request import read_request  # noqa: PLC0415

    request = read_request(cli.environ, arguments)
    cli.out.raw(complete(cli, request) if request else "")
    return 0


def _open_missing_streams() -> None:
    """Open the null device for each standard stream that the caller closed, as `<&-` and some service managers do.

    Python sets such a stream to None, and the next file or socket that is opened would get its number: what is printed
    would be written there.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is not None:
            continue
        taken = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this stream's
        os.set_inheritable(taken, True)
        setattr(sys, name, os.fdopen(taken, "r" if name == "stdin" else "w"))


def _have_streams_wait() -> None:
    """Have reads and writes of the standard streams wait, where the caller left one that does not (O_NONBLOCK).

    What a slow reader has no room for would be lost without an error.
    """
    for number in range(3):
        with suppress(OSError):
            os.set_blocking(number, True)


def _forget_empty_home() -> None:
    """Have an empty HOME count as none, as every empty setting does: for Python it would be the root directory."""
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]


def _forget_unforced_colours() -> None:
    """Have FORCE_COLOR=0 and =false ask for no colours, as CI systems set it for Node; for rich any value is a yes."""
    if os.environ.get(FORCE_COLOR, "").lower() in NOT_FORCED:
        del os.environ[FORCE_COLOR]
        os.environ["NO_COLOR"] = "1"


def _forget_unusable_key_log() -> None:
    """Drop SSLKEYLOGFILE where its file cannot be written: whatever uses TLS would raise OSError, also in a part.

    Tracers and security software set it for all programs (docs.python.org, ssl.create_default_context).
    """
    name = os.environ.get(KEY_LOG)
    if not name:
        return
    try:
        with open(name, "ab"):  # noqa: PTH123 - as ssl does
            pass
    except (OSError, ValueError) as error:
        del os.environ[KEY_LOG]
        if COMPLETION not in os.environ:
            Output().warning(f"{KEY_LOG} is left out: {name} cannot be written: {reason_of(error)}")


def _forget_unusable_workers() -> None:
    """Drop TOKIO_WORKER_THREADS where it is no number above 0: it would end the SDK's native side, and this process."""
    given = os.environ.get(NATIVE_WORKERS)
    if given is not None and not (given.isdecimal() and int(given)):
        del os.environ[NATIVE_WORKERS]
        if COMPLETION not in os.environ:
            Output().warning(f"{NATIVE_WORKERS} is left out: {given!r} is no number of threads")


def _keep_owner_rights() -> None:
    """Let the umask take no rights from the owner, who could not enter the folders that are made here."""
    os.umask(os.umask(0o077) & 0o077)


def _escape_unencodable() -> None:
    """Print characters that the encoding of standard output lacks as escapes, as standard error does; never raise."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _check_encoding(arguments: Sequence[str]) -> None:
    """Raise ConfigError for an argument that is not UTF-8, unless it names a file, whose name may be any bytes."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            if not os.path.lexists(argument):
                raise ConfigError(
                    f"argument {number} is not UTF-8: {os.fsencode(argument)!r}", hint="stigmer --help"
                ) from None


def _report_interrupt(cli: Cli) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a late Ctrl-C must not turn the exit code into a signal
    if cli.ended_by is None:
        Output().note("interrupted")
        return INTERRUPTED
    Output().note(f"ended by {signal.Signals(cli.ended_by).name}")
    return 128 + cli.ended_by


def _run(cli: Cli, arguments: Sequence[str]) -> int:
    if sys.platform == "win32":
        raise ConfigError("Stigmer runs on Linux and macOS; on Windows, run it inside WSL 2", hint="wsl --install")
    if COMPLETION in cli.environ:
        return _complete(cli, arguments)
    _check_encoding(arguments)
    if arguments in VERSION_LINES:
        return _print_version(cli, arguments)
    if arguments in PART_LINES:
        return _run_part(cli, arguments)
    return _run_application(cli, arguments)


def _run_part(cli: Cli, arguments: Sequence[str]) -> int:
    """As the application would, without typer: a stack waits for each of its parts."""
    from stigmer_cli.cli.stack.part import run_runner, run_server  # noqa: PLC0415 - for parts only

    return (run_server if arguments == ["serve"] else run_runner)(cli)


def _print_version(cli: Cli, arguments: Sequence[str]) -> int:
    """As the application would, without typer, which takes longer to import than everything else here."""
    from stigmer_cli.cli.help.version import show_short_version, show_version  # noqa: PLC0415

    (show_version if arguments == ["version"] else show_short_version)(cli)
    return 0


def _run_application(cli: Cli, arguments: Sequence[str]) -> int:
    import typer  # noqa: PLC0415 - see above

    from stigmer_cli.cli.app import build_application  # noqa: PLC0415 - its imports need fcntl, which Windows lacks

    typed = expand_bare_wait(arguments) or ["--help"]
    try:
        result = build_application()(typed, prog_name="stigmer", standalone_mode=False, obj=cli)
    except typer.TyperException as error:
        cli.out = Output(find_format(arguments))  # the options may not have been read so far
        cli.out.error(_explain_usage(error))
        return USAGE
    except typer.Abort:  # Ctrl-C at a question
        return INTERRUPTED
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer would end with 1, as if something had failed
            raise ended.__context__ from None
        raise
    if cli.out.unwritten:
        raise cli.out.unwritten
    return result if isinstance(result, int) else 0


def _explain_usage(error: "typer.TyperException") -> ConfigError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stigmer"
    hint = f"{command} --help"
    if hasattr(error, "possibilities") and context and _takes_message(context):
        hint += f", or, if it is the message that begins with a dash: {command} AGENT -- MESSAGE"
    return ConfigError(error.format_message(), hint=hint)


def _takes_message(context: "typer.Context") -> bool:
    return any(one.name == "message" and one.param_type_name == "argument" for one in context.command.params)


def _end_quietly() -> int:
    """End as a program killed by SIGPIPE does: the reader closed the pipe, as `| head -1` does."""
    discard_stdout()
    return 128 + signal.SIGPIPE


def _report_unwritten(error: OSError) -> int:
    """Report that the output is incomplete, so that a script does not take it for the whole result."""
    discard_stdout()
    hint = "open standard output for writing" if error.errno == errno.EBADF else "df -h"
    failed = MachineError(f"the output could not be written: {reason_of(error)}", hint=hint)
    Output().error(failed)
    return failed.exit_code


def _flush_output(code: int) -> int:
    """Flush both streams and return `code`, or the exit code for output that cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code  # the reader has closed the pipe
    except OSError as error:
        return _report_unwritten(error)
    with suppress(OSError):
        sys.stderr.flush()
    return code
