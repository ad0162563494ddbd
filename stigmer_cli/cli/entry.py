"""The edge of the program: reads the environment once, and turns every ending into an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Output
from stigmer_cli.cli.wait import with_value
from stigmer_cli.errors import ConfigError, MachineError, StigmerError, reason_of
from stigmer_cli.libpq import TAKEN
from stigmer_cli.paths import find_user_home

INTERRUPTED = 130
USAGE = 2
OUTPUT_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a full or failing disk says to whoever writes there."""


def main() -> None:
    """Run `stigmer` with the arguments of this process and exit.

    The process ends at once, without the interpreter's own shutdown: that would join, or pull the ground from under,
    threads which nobody can stop. The SDK's native side then crashes (SIGSEGV) or hangs where a dial is under way, and
    a look at a dead network file system never comes back.
    """
    _open_missing_streams()
    code = invoke(sys.argv[1:])
    os._exit(_flushed(code))


def invoke(arguments: Sequence[str]) -> int:
    """The exit code of `stigmer ARGUMENTS`; everything is printed."""
    cli = Cli(environ=dict(os.environ), user_home=find_user_home())
    for name in TAKEN:  # they are part of the settings now, and would count a second time in the client library
        os.environ.pop(name, None)
    try:
        code = _run(cli, arguments)
        return _interrupted() if code == INTERRUPTED else code  # typer makes this of a KeyboardInterrupt
    except StigmerError as error:
        cli.out.error(error)
        return error.exit_code
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        if error.errno not in OUTPUT_FAULTS:
            raise
        return _unwritten(error)
    except typer.TyperException as error:
        cli.out.error(_usage(error))
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()


def _open_missing_streams() -> None:
    """Put the null device where the caller closed a standard stream, as `<&-` and some service managers do.

    Python then has None in its place; and the next file or socket that is opened would get its number, and what is
    printed.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is not None:
            continue
        taken = os.open(os.devnull, os.O_RDWR)  # the lowest free number, and so this stream's own
        os.set_inheritable(taken, True)
        setattr(sys, name, os.fdopen(taken, "r" if name == "stdin" else "w"))


def _interrupted() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a late Ctrl-C must not turn the exit code into a signal
    Output().note("interrupted")
    return INTERRUPTED


def _run(cli: Cli, arguments: Sequence[str]) -> int:
    if sys.platform == "win32":
        raise ConfigError("Stigmer runs on Linux and macOS; on Windows, run it inside WSL 2", hint="wsl --install")
    from stigmer_cli.cli.app import application  # noqa: PLC0415 - after the refusal: its imports need fcntl

    typed = with_value(arguments) or ["--help"]
    result = application(cli.environ)(typed, prog_name="stigmer", standalone_mode=False, obj=cli)
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> ConfigError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stigmer"
    return ConfigError(error.format_message(), hint=f"{command} --help")


def _reader_left() -> int:
    """What `| head -1` leaves behind: end quietly, as a program killed by SIGPIPE would."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _unwritten(error: OSError) -> int:
    """Say that the output is not whole: a script must not take what it got for the result."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    failed = MachineError(f"the output could not be written: {reason_of(error)}", hint="df -h")
    Output().error(failed)
    return failed.exit_code


def _flushed(code: int) -> int:
    """`code` once all is written, or the exit code of that having failed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code  # nobody reads any more
    except OSError as error:
        return _unwritten(error)
    with suppress(OSError):
        sys.stderr.flush()
    return code
