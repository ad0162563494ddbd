"""The bearer token of a home: made once, kept in a file that only its owner can read, replaced on demand."""

import os
import secrets
from pathlib import Path

from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home

TOKEN_BYTES = 32
OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700


def read_token(home: Home) -> str | None:
    """The token, or None where there is none yet; raises MachineError where it cannot be read, or is not ours."""
    try:
        with home.token_file.open(encoding="ascii") as file:
            owner = os.fstat(file.fileno()).st_uid
            text = file.read().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise MachineError(f"cannot read the token file {home.token_file}: {error}") from error
    if owner != os.geteuid():
        raise MachineError(f"the token file {home.token_file} belongs to uid {owner}", hint="stigmer doctor")
    return text or None


def ensure_token(home: Home) -> str:
    """The token of this home, made if there is none; two at once agree on one."""
    found = read_token(home)
    if found:
        return found
    _write(home.token_file, secrets.token_urlsafe(TOKEN_BYTES), replace=False)
    return read_token(home) or ensure_token(home)


def rotate_token(home: Home) -> str:
    """A new token in place of the old one; a running server takes it over by itself."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    _write(home.token_file, token, replace=True)
    return token


class FileToken:
    """The token in the home's file, read again whenever the file has changed: a rotated one counts at once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stamp: tuple[int, int] | None = None
        self._token: str | None = None

    def __call__(self) -> str | None:
        """The token now; the last known one where the file cannot be read, None where there never was one."""
        try:
            stat = self._home.token_file.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._token, self._stamp = read_token(self._home), stamp
        except (OSError, MachineError):
            return self._token
        return self._token


def _write(path: Path, token: str, *, replace: bool) -> None:
    path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            _link_unless_there(draft, path)
    except OSError as error:
        raise MachineError(f"cannot write the token file {path}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _link_unless_there(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        if not path.read_text(encoding="ascii").strip():  # emptied by a full disk, say
            draft.replace(path)
