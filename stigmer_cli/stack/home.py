"""The folders of a home: made for their owner only, and deleted when asked."""

import errno
import os
import shlex
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stigmer_cli.credential import rotate_token
from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY_FOLDER, remove_leftovers
from stigmer_cli.home_trust import can, require_trust
from stigmer_cli.project_home import FOLDER_NAME, ORIGIN_FILE, Origin, Provenance, find_provenance, record_origin
from stigmer_cli.settings import HOME_VARIABLE, Home
from stigmer_cli.stack.mounts import is_read_only, missing_mount, mount_of, nearest
from stigmer_cli.stack.parts import BACKUPS, NAMES
from stigmer_cli.supervisor.record import LOCK_FILE

OUR_NAMES = (
    *("stigmer.db", "temporal.db", "store.id", "stack-settings.json", "damaged-"),
    *("up.lock", "stack.json", "adopt-temporal", "runner-", "supervisor."),
    *(f"{name}.log" for name in NAMES),
)
"""How the names begin of what is made in the folders of a home, beside the copies in `BACKUPS`."""

COPIES = ("stigmer-", "temporal.db.")
"""How the names of those copies begin."""

OF_THE_FILE_SYSTEM = "lost+found"

OTHERS = stat.S_IRWXG | stat.S_IRWXO
CHAT_HISTORY = "chat-history"
"""The file in a home that keeps what was typed in chats."""


def prepare_home(home: Home) -> Provenance:
    """Make every folder of `home` with mode 0700, and close those that others could read. Raises MachineError.

    Returns where its content came from before.

    A folder that others could write to is not closed silently: they may have put something there. What a copy of
    another home holds gets a token of its own: that of the original would let its commands in at the other one.
    """
    require_trust(home.path)
    unmounted = missing_mount(home.path)
    if unmounted:
        message = f"{home.path} lies on {unmounted}, which is in /etc/fstab and is not mounted"
        raise MachineError(message, hint=f"sudo mount {shlex.quote(str(unmounted))}")
    for folder in (home.path, home.data, home.logs, home.run):
        _refuse_dangling_link(folder)
    _refuse_foreign_folders(home)
    found = find_provenance(home.path)
    for folder in (home.path, home.data, home.logs, home.run):
        try:
            folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
            mode = folder.stat().st_mode
            if mode & OTHERS:
                folder.chmod(stat.S_IMODE(mode) & ~OTHERS)
            try_to_write(folder)
        except OSError as error:
            raise MachineError(f"cannot use {folder}: {reason_of(error)}", hint=way_out(folder, error)) from error
    _settle(home, found)
    return found


def _refuse_dangling_link(folder: Path) -> None:
    """Raise MachineError where `folder`, or one above it, is a link that leads nowhere, as to a disk that is away."""
    link = next((one for one in (folder, *folder.parents) if one.is_symlink() and not one.exists()), None)
    if link is None:
        return
    if _leads_in_a_circle(link):
        raise MachineError(f"{link} is a link that leads back to itself", hint=f"rm {shlex.quote(str(link))}")
    target = link.resolve()
    unmounted = missing_mount(target)
    hint = f"sudo mount {shlex.quote(str(unmounted))}" if unmounted else f"mkdir -p {shlex.quote(str(target))}"
    raise MachineError(f"{link} is a link to {target}, which is not there", hint=hint)


def _leads_in_a_circle(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _refuse_foreign_folders(home: Home) -> None:
    """Raise MachineError where the home is a folder of something else: `down --purge` would delete what is there."""
    if is_ours(home):
        return
    for folder in (home.data, home.logs, home.run):
        if folder.is_dir() and any(folder.iterdir()):
            raise MachineError(
                f"{folder} is there, and not from Stigmer: a home is a folder of its own",
                hint=f"export {HOME_VARIABLE}={shlex.quote(str(home.path / FOLDER_NAME))}",
            )


def is_ours(home: Home) -> bool:
    """Whether what lies in the folders of `home` is Stigmer's, as far as the names there tell."""
    marks = (
        home.path / ORIGIN_FILE,
        home.token_file,
        home.store_file,
        home.temporal_file,
        home.run / LOCK_FILE,
        home.logs / "supervisor.log",
    )
    return home.path.name == FOLDER_NAME or any(map(Path.exists, marks))


def _settle(home: Home, found: Provenance) -> None:
    """Record that the content of `home` belongs to this folder from now on."""
    if found.origin is Origin.COPY and home.token_file.exists():
        rotate_token(home)
    try:
        record_origin(home.path, found)
    except OSError as error:
        raise MachineError(
            f"cannot write in {home.path}: {reason_of(error)}", hint=way_out(home.path, error)
        ) from error


def way_out(folder: Path, error: OSError) -> str:
    """The command after which `folder` is probably writable."""
    there = nearest(folder)
    name = shlex.quote(str(there))
    if is_read_only(there):
        return f"sudo mount -o remount,rw {shlex.quote(str(mount_of(there)))}"
    if error.errno == errno.EPERM:
        return f"sudo chattr -i {name}"
    if error.errno == errno.EACCES and there.stat().st_uid == os.geteuid():
        return f"chmod u+rwx {name}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"mv {name} {name}.old"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"df -h {name}; df -i {name}"
    return "export STIGMER_HOME=DIRECTORY"  # HOME may be /, as in a container under an unknown user id


def try_to_write(folder: Path) -> None:
    """Raise OSError where nothing can be made in `folder`."""
    if not can(folder, os.W_OK | os.X_OK):
        code = errno.EROFS if is_read_only(folder) else errno.EACCES
        raise OSError(code, os.strerror(code))


def purge_home(home: Home) -> list[Path]:
    """Delete data, logs, token and history of chats in `home`; returns what was deleted. Raises MachineError.

    Settings stay, and the key of secrets, which may be in a database elsewhere. Nothing is deleted in a folder that is
    no home. A folder that is a mount point, or a link to another disk, stays there, without what Stigmer had in it.
    """
    deleted: list[Path] = []
    if not is_ours(home):
        return deleted
    for path in (home.data, home.logs, home.token_file, home.path / CHAT_HISTORY, home.run):
        if not (path.exists() or path.is_symlink()):
            continue
        try:
            deleted.extend(_delete(path))
        except OSError as error:
            raise MachineError(f"cannot delete {path}: {error}", hint=f"delete {path} yourself") from error
    remove_leftovers(home.path)
    return deleted


def _delete(path: Path) -> Sequence[Path]:
    """Delete the file or folder; returns what is gone, with `*` for all that was in a folder which stays."""
    if path.is_symlink() and path.is_dir():
        return _delete_ours(path.resolve())
    if not path.is_mount():
        return [_remove(path)]
    for entry in path.iterdir():
        if entry.name != OF_THE_FILE_SYSTEM:
            _remove(entry)
    return [path / "*"]


def _delete_ours(folder: Path) -> Sequence[Path]:
    """Delete what Stigmer has made in `folder`: who has set a link to it may have more there."""
    copies = folder / BACKUPS
    made = [*folder.iterdir()] if copies.is_symlink() or not copies.is_dir() else [*folder.iterdir(), *copies.iterdir()]
    deleted = [_remove(path) for path in made if path.name.startswith(OUR_NAMES if path.parent == folder else COPIES)]
    remove_leftovers(folder)
    with suppress(OSError):  # it is not there, or holds something else
        copies.rmdir()
    return deleted


def _remove(path: Path) -> Path:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return path
