"""The bearer token of a home: made once, kept in a file that only its owner can read, replaced on demand."""

import os
import secrets
from pathlib import Path

from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, create_atomically, write_atomically
from stigmer_cli.settings import Home

TOKEN_BYTES = 32


def read_token(home: Home) -> str | None:
    """The token, or None where there is none yet; raises MachineError where it cannot be read, or is not ours."""
    try:
        with home.token_file.open(encoding="ascii") as file:
            owner = os.fstat(file.fileno()).st_uid
            text = file.read().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise MachineError(
            f"cannot read the token file {home.token_file}: {reason_of(error)}", hint="stigmer doctor"
        ) from error
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


class KeptToken:
    """The token in the home's file, for who needs one: made again if the file is gone, read again where it has changed.

    None where the whole home is gone, which stays removed then.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._file = home, home.token_file
        self._stamp: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str | None:
        """The token now; raises what `ensure_token` raises."""
        try:
            stat = self._file.stat()
        except OSError:
            return ensure_token(self._home) if self._home.path.is_dir() else None
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_uid)
        if stamp != self._stamp:
            self._token, self._stamp = ensure_token(self._home), stamp
        return self._token


def _write(path: Path, token: str, *, replace: bool) -> None:
    line = f"{token}\n".encode("ascii")
    try:
        path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        if replace:
            write_atomically(path, line, OWNER_ONLY)
        else:
            _create(path, line)
    except OSError as error:
        raise MachineError(f"cannot write the token file {path}: {reason_of(error)}", hint="stigmer doctor") from error


def _create(path: Path, line: bytes) -> None:
    try:
        create_atomically(path, line, OWNER_ONLY)
    except FileExistsError:
        if not path.read_bytes().strip():  # emptied by a full disk, say
            write_atomically(path, line, OWNER_ONLY)
