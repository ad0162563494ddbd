"""Files that are there whole or not at all: drafted beside their place, flushed, and then given their name.

A draft has its final mode from the moment it is there. Its writer holds a lock on it (flock(2)), so that a draft
without one is known for what a killed writer left, and the next write to the same folder removes it.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700
DRAFT_SUFFIX = ".stigmer-draft"
NAME_CHARS_MAX = 32
"""Of the final name in a draft's, which must stay below the 255 bytes that file systems take."""

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What a file system without hard links answers."""

NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES})
"""What fsync(2) of a folder ends with where the file system has none, or we may not read the folder."""


def write_atomically(path: Path, data: bytes, mode: int, *, is_durable: bool = True) -> None:
    """Put `data` in `path`, in place of what is there: a reader sees the old or the new, never a part.

    A link is replaced, not followed. It outlasts a power cut if `is_durable`. Raises OSError; the old file is then
    as it was.
    """
    with drafted(path, mode, is_durable=is_durable) as draft:
        draft.write_bytes(data)


def create_atomically(path: Path, data: bytes, mode: int) -> None:
    """As `write_atomically`, but never in place of another file: raises FileExistsError where one is there."""
    with drafted(path, mode, place=_link) as draft:
        draft.write_bytes(data)


@contextmanager
def drafted(
    path: Path, mode: int, *, place: Callable[[Path, Path], object] = Path.replace, is_durable: bool = True
) -> Iterator[Path]:
    """An empty file of `mode` beside `path`, for the block to fill; `place` then gives it its name.

    It is removed if the block raises. Raises OSError.
    """
    remove_leftovers(path.parent)
    draft, fd = _new_draft(path, mode)
    try:
        yield draft
        if is_durable:
            os.fsync(fd)
        place(draft, path)
        if is_durable:
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        os.close(fd)


def folder_number(folder: Path) -> int:
    """What tells a folder from a copy of it: its inode, which a new name does not change. Raises OSError."""
    return folder.stat().st_ino


def sync_file(path: Path) -> None:
    """Return when the content of `path` is on the disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk, as far as it can be asked for. Raises OSError."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove the drafts of killed writers from `folder`."""
    with suppress(OSError):
        for path in folder.glob(f".*{DRAFT_SUFFIX}"):
            with suppress(OSError):  # its writer lives, or it is not ours to remove
                _remove_unlocked(path)


def _new_draft(path: Path, mode: int) -> tuple[Path, int]:
    while True:
        draft = path.with_name(f".{path.name[:NAME_CHARS_MAX]}.{os.urandom(8).hex()}{DRAFT_SUFFIX}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(OSError):  # a file system without locks: nobody can lock it to remove it, either
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return draft, fd
        os.close(fd)  # another writer came between the two calls and took it for a leftover


def _remove_unlocked(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _link(draft: Path, path: Path) -> None:
    """Give `draft` its name; a link, unlike a rename, never replaces what somebody put there meanwhile."""
    try:
        path.hardlink_to(draft)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        draft.rename(path)
