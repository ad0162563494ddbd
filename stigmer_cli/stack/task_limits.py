"""How many processes and threads the control groups of a process allow (pids.max), of version 1 or 2."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
ENOUGH = 512


@dataclass(frozen=True, kw_only=True)
class TaskLimit:
    """The limit of one control group. `used` is None where it cannot be read.

    `refused` is how often a process or thread was refused since the group was made, also in those within it: older
    kernels count it where it was asked for, newer ones where the limit is.
    """

    allowed: int
    used: int | None
    refused: int = 0

    @property
    def share(self) -> float:
        """How much of it is used: from 0 to 1, or above where the limit was lowered."""
        return (self.used or 0) / max(self.allowed, 1)


def read_task_limits(pid: int | str = "self") -> Iterator[TaskLimit]:
    """Of each control group of this process, the innermost first; nothing where no limit can be read."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "pids"):
            yield from _limits_of(CGROUPS / controllers, group)


def find_tightest(pid: int) -> TaskLimit | None:
    """The limit of which most is used; None where no limit is set, or none can be read."""
    known = [limit for limit in read_task_limits(pid) if limit.used is not None]
    return max(known, key=lambda limit: limit.share, default=None)


def raise_task_limit(allowed: int) -> str:
    """What to do against a limit of `allowed`."""
    wanted = max(ENOUGH, 2 * allowed)
    return f"docker run --pids-limit {wanted}, or TasksMax={wanted} in the systemd unit"


def _limits_of(mount: Path, group: str) -> Iterator[TaskLimit]:
    folder = mount / group.lstrip("/")
    refused = 0
    for place in (folder, *folder.parents):  # in a container the group may be named as on the host
        if place.is_relative_to(mount):
            refused = max(refused, _number(place / "pids.events") or 0)
            allowed = _number(place / "pids.max")
            if allowed is not None:
                yield TaskLimit(allowed=allowed, used=_number(place / "pids.current"), refused=refused)


def _number(file: Path) -> int | None:
    """The number in it, which may follow a name; None where there is no such file, or no number ("max")."""
    try:
        return int(file.read_text().split()[-1])
    except (OSError, ValueError, IndexError):
        return None
