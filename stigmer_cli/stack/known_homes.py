"""The homes that this user's stacks were made in: a file for each under `$XDG_STATE_HOME/stigmer/homes`.

It is a list to look through, never a proof: a home may be gone, or belong to another user by now.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, write_atomically
from stigmer_cli.project_home import FOLDER_NAME
from stigmer_cli.settings import Home

STATE_VARIABLE = "XDG_STATE_HOME"
STATE_DEFAULT = Path(".local/state")
NAME_DIGITS = 16
HOMES_MAX = 1000
"""Of one user; more are not listed."""


class KnownHomes:
    """The list of one user; `user_home` is always on it. Without a place to keep the list, nothing else is."""

    def __init__(self, environ: Mapping[str, str], *, user_home: Path | None) -> None:
        state = Path(environ.get(STATE_VARIABLE, ""))
        if not state.is_absolute():  # the specification has relative paths ignored
            state = user_home / STATE_DEFAULT if user_home else Path()
        self._default = user_home / FOLDER_NAME if user_home else None
        self.folder = state / "stigmer" / "homes" if state.is_absolute() else None

    def remember(self, home: Home) -> None:
        """Add `home` to the list; not being able to is no error."""
        if self.folder is None or self._file(home.path).exists():
            return
        with suppress(OSError):
            self.folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
            text = json.dumps({"path": str(home.path)}) + "\n"
            write_atomically(self._file(home.path), text.encode(), OWNER_ONLY, is_durable=False)

    def forget(self, path: Path) -> None:
        """Remove the home at `path` from the list."""
        if self.folder is not None:
            with suppress(OSError):
                self._file(path).unlink(missing_ok=True)

    def read(self) -> Sequence[Path]:
        """The homes on the list in the order of their paths, the gone ones included; the default one if it exists."""
        found = {self._default} if self._default and self._default.is_dir() else set()
        if self.folder is not None:
            with suppress(OSError):
                files = [file for file, _ in zip(self.folder.glob("*.json"), range(HOMES_MAX), strict=False)]
                found |= {path for file in files if (path := _read_path(file)) is not None}
        return sorted(found)

    def _file(self, path: Path) -> Path:
        digest = hashlib.sha256(bytes(path)).hexdigest()[:NAME_DIGITS]
        return (self.folder or Path()) / f"{digest}.json"


def _read_path(file: Path) -> Path | None:
    try:
        path = Path(json.loads(file.read_bytes())["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if path.is_absolute() else None
