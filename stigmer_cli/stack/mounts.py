"""What a folder lies on: what its file system can do, and whether one is missing that should be there."""

import fcntl
import os
import secrets
import socket
from pathlib import Path

from stigmer_cli.supervisor.control import short_name

FSTAB = Path("/etc/fstab")
MOUNTS = Path("/proc/self/mounts")
POINT_AT, KIND_AT = 1, 2
"""fstab(5): the second field of a line is the mount point, the third the type of the file system."""


def nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next((one for one in (path, *path.parents) if one.exists()), path)


def mount_of(path: Path, mounts: Path = MOUNTS) -> Path:
    """Where the file system that `path` lies on is mounted; a bind mount is seen only where the system lists mounts."""
    found, points = path.resolve(), {point for point, _kind in _mounted(mounts)}
    return next((one for one in (found, *found.parents) if one in points or one.is_mount()), found)


def is_read_only(path: Path) -> bool:
    """Whether the file system of `path` takes no writes."""
    try:
        return bool(os.statvfs(nearest(path)).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def missing_mount(home: Path, fstab: Path = FSTAB) -> Path | None:
    """The mount point above a `home` that does not exist, in fstab and not mounted; None where there is none."""
    if home.exists():
        return None
    return next((point for point in _points(fstab) if point in home.parents and not point.is_mount()), None)


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system that `path` lies on, as in mount(8); empty where the system does not say."""
    point = mount_of(path, mounts)
    kinds = [kind for place, kind in _mounted(mounts) if place == point]
    return kinds[-1] if kinds else ""  # the last one covers the others


def takes_locks_and_sockets(folder: Path) -> bool:
    """Whether files in `folder` can be locked (flock(2)) and unix sockets bound there. Raises OSError if unwritable."""
    probe = folder / f".probe-{secrets.token_hex(4)}"
    fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        probe.unlink()
        with socket.socket(socket.AF_UNIX) as end, short_name(probe) as name:
            end.bind(name)
    except OSError:
        return False
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
    return True


def _mounted(mounts: Path) -> list[tuple[Path, str]]:
    """The mount points and types of file systems in `mounts`, in the order in which they were mounted."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    return [(Path(field[POINT_AT].replace("\\040", " ")), field[KIND_AT]) for field in fields if len(field) > KIND_AT]


def _points(fstab: Path) -> list[Path]:
    """The mount points in `fstab`, deepest first; it writes a space in octal."""
    try:
        lines = fstab.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    points = {Path(field[POINT_AT].replace("\\040", " ")) for field in fields if len(field) > POINT_AT}
    return sorted((one for one in points if one.is_absolute()), key=lambda one: -len(one.parts))
