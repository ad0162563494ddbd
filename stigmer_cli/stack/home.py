"""The folders of a home: made for their owner only, and deleted when asked."""

import shutil
import stat
from pathlib import Path

from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home

OWNER_ONLY = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def prepare_home(home: Home) -> None:
    """Make every folder of `home` with mode 0700, and shut those that others could enter. Raises MachineError."""
    for folder in (home.path, home.data, home.logs, home.run):
        try:
            folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
            mode = folder.stat().st_mode
            if mode & OTHERS:
                folder.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except OSError as error:
            raise MachineError(
                f"cannot use {folder}: {error.strerror or error}",
                hint=f"make {home.path} yours, or set STIGMER_HOME to a folder that is",
            ) from error


def purge_home(home: Home) -> list[Path]:
    """Delete everything in `home` but `config.toml`; returns what was deleted. Raises MachineError."""
    deleted = []
    for path in (home.data, home.logs, home.token_file, home.run):
        if not (path.exists() or path.is_symlink()):
            continue
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise MachineError(f"cannot delete {path}: {error}", hint=f"delete {path} yourself") from error
        deleted.append(path)
    return deleted
