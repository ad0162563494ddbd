"""Files that a person names as input: read whole, within a limit, and never waited for."""

import os
import stat

from stigmer_cli.errors import ConfigError, reason_of

OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""What the shell has opened for the command: `<(...)` and standard input. A pipe among them has its writer."""

KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_input_file(name: str, *, bytes_max: int, hint: str) -> bytes:
    """The content of the file `name`: `bytes_max` + 1 bytes of it, if it has more than `bytes_max`.

    Raises ConfigError for a file that cannot be read, and for what is no file: nobody may ever write to a named pipe,
    and a device may never end.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer.
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | (0 if name.startswith(OPEN_ALREADY) else os.O_NONBLOCK))
        with os.fdopen(fd, "rb") as file:
            if not name.startswith(OPEN_ALREADY):
                _refuse_other_kinds(name, os.fstat(fd).st_mode, hint)
            return file.read(bytes_max + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"cannot read {name}: {reason_of(error)}", hint=hint) from error


def _refuse_other_kinds(name: str, mode: int, hint: str) -> None:
    for is_kind, words in KINDS:
        if is_kind(mode):
            raise ConfigError(f"cannot read {name}: it is {words}, not a file", hint=hint)
