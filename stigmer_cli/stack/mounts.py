"""What a folder lies on: whether its file system can be written, and whether one is missing that should be there."""

import os
from pathlib import Path

FSTAB = Path("/etc/fstab")
POINT_AT = 1
"""fstab(5): the second field of a line is the mount point."""


def nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next((one for one in (path, *path.parents) if one.exists()), path)


def mount_of(path: Path) -> Path:
    """Where the file system that `path` lies on is mounted."""
    found = path.resolve()
    return next((one for one in (found, *found.parents) if one.is_mount()), found)


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


def _points(fstab: Path) -> list[Path]:
    """The mount points in `fstab`, deepest first; it writes a space in octal."""
    try:
        lines = fstab.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    points = {Path(field[POINT_AT].replace("\\040", " ")) for field in fields if len(field) > POINT_AT}
    return sorted((one for one in points if one.is_absolute()), key=lambda one: -len(one.parts))
