"""How many files and connections a process may have open: raised to what the machine allows, and never too few."""

import resource

from stigmer_cli.errors import MachineError

FILES_MIN = 256
"""Temporal and the server keep 20 to 60 open each when idle, and one for each connection under load."""

FILES_MAX = 65_536
"""No more than that is asked for: some programs close every number up to the limit when they start."""


def allowed_files() -> int:
    """How many this process may have open once `raise_files_limit` was called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft, FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX))


def raise_files_limit() -> None:
    """Raise the soft limit to what the hard one allows: shells and service managers set it low (256 on macOS).

    Children inherit it. Where the system refuses it, the limit stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = allowed_files()
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return


def require_files() -> None:
    """Raise MachineError if so few files may be open that parts of a stack would fail in ways that hide the cause."""
    allowed = allowed_files()
    if allowed < FILES_MIN:
        raise MachineError(
            f"only {allowed} files may be open here, and a stack needs {FILES_MIN} at least", hint="ulimit -n 4096"
        )
