"""An archive for a bug report: written whole or not at all, for its owner only, and never over another file."""

import io
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, create_atomically

FOLDER = "stigmer-bundle"
"""The folder of all entries, so that unpacking makes only one."""


@dataclass(frozen=True, kw_only=True)
class ArchiveEntry:
    """One file of an archive, and a few words about its content."""

    name: str
    content: bytes
    about: str


def check_target(path: Path) -> None:
    """Raise ConfigError where `path` exists, its folder does not, or its kind of archive is unknown."""
    if _kind_of(path) is None:
        raise ConfigError(f"{path} is none of {', '.join(KINDS)}", hint=f"--bundle {path.name or 'stigmer'}.tar.gz")
    if path.exists() or path.is_symlink():
        raise _there(path)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}")


def write_archive(path: Path, entries: Sequence[ArchiveEntry], *, at: datetime) -> int:
    """Write `entries`, dated `at`, to `path`; returns its size in bytes. Raises ConfigError and MachineError."""
    check_target(path)
    content = KINDS[_kind_of(path) or ".tar.gz"](entries, at)
    try:
        create_atomically(path, content, OWNER_ONLY)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise MachineError(
            f"cannot write {path}: {reason_of(error)}", hint="choose another folder, or free space"
        ) from error
    return len(content)


def _there(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there already, and is not overwritten", hint="choose another name, or remove it")


def _kind_of(path: Path) -> str | None:
    return next((kind for kind in KINDS if path.name.lower().endswith(kind) and path.name.lower() != kind), None)


def _tar(entries: Sequence[ArchiveEntry], at: datetime) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for entry in entries:
            info = tarfile.TarInfo(f"{FOLDER}/{entry.name}")
            info.size, info.mode, info.mtime = len(entry.content), OWNER_ONLY, int(at.timestamp())
            archive.addfile(info, io.BytesIO(entry.content))
    return target.getvalue()


def _zip(entries: Sequence[ArchiveEntry], at: datetime) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(f"{FOLDER}/{entry.name}", at.timetuple()[:6])
            info.external_attr, info.compress_type = OWNER_ONLY << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.content)
    return target.getvalue()


KINDS: Mapping[str, Callable[[Sequence[ArchiveEntry], datetime], bytes]] = {".tar.gz": _tar, ".tgz": _tar, ".zip": _zip}
