"""Paths as people write them, made absolute; one that this machine cannot resolve is a sentence, not a traceback."""

import errno
import os
import shlex
import stat
from pathlib import Path

from stigmer_cli.errors import ConfigError, reason_of

NEVER_A_FOLDER = frozenset({errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""Why nothing can be made at a path either: a file on the way, a name that is too long, links in a circle."""


def absolute_path(text: str | Path) -> Path:
    """`text` with its `~` expanded, as an absolute path; symbolic links stay.

    Raises ConfigError where `~` means a user whose home directory is not known, the path is relative and the working
    directory has been deleted, or it is not UTF-8: neither SQLite nor JSON could name it.
    """
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the path {os.fsencode(text)!r} is not UTF-8", hint="use a path in UTF-8") from None
    try:
        expanded = Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"cannot expand {Path(text).parts[0]} in {str(text)!r}: this system knows no home directory for that user",
            hint="write the path out, from / on",
        ) from error
    try:
        return expanded.absolute()
    except FileNotFoundError as error:
        raise ConfigError(
            f"cannot resolve the relative path {str(text)!r}: the working directory has been deleted",
            hint="cd to a directory that exists, or write the path out, from / on",
        ) from error


def find_working_directory() -> Path | None:
    """The working directory; None where it has been deleted, or may not be read."""
    try:
        return Path.cwd()
    except OSError:
        return None


def find_user_home() -> Path | None:
    """The home directory of the user; None where HOME is not set and this system has no entry for the user id.

    That is common in containers that run under an arbitrary user id.
    """
    try:
        return Path.home()
    except RuntimeError:
        return None


def require_reachable(path: Path, *, hint: str) -> Path:
    """`path`; raises ConfigError where no folder can be there, or it lies below one that this user may not enter.

    The latter is so for who becomes another user and keeps HOME, or the working directory (`sudo -u`, `su`).
    """
    try:
        mode = path.stat().st_mode
    except PermissionError:
        is_effective = os.access in os.supports_effective_ids
        shut = (one for one in reversed(path.parents) if not os.access(one, os.X_OK, effective_ids=is_effective))
        raise ConfigError(
            f"cannot use {path}: {next(shut, path.parent)} is closed to you (uid {os.geteuid()})", hint=hint
        ) from None
    except OSError as error:
        if error.errno in NEVER_A_FOLDER:
            raise ConfigError(f"cannot use {path}: {reason_of(error)}", hint=hint) from None
        return path  # nothing is there, for example: who needs it says so
    if not stat.S_ISDIR(mode):
        name = shlex.quote(str(path))
        raise ConfigError(f"cannot use {path}: it is no folder", hint=f"mv {name} {name}.old, or {hint}")
    return path
