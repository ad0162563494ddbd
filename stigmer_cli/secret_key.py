"""The key that secrets are encrypted with: made once, in a file that only its owner can read, never in the store."""

import hashlib
import os
import secrets
import shlex
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, create_atomically, write_atomically
from stigmer_cli.settings import Settings

KEY_BYTES = 32
ID_DIGITS = 16
OTHERS = 0o077
FILE_BYTES_MAX = 64 * 1024
"""More than a thousand keys: each change of the key that fails may leave one."""


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """A key of 256 bits; `id` tells it from others and says nothing about it."""

    value: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """A fingerprint."""
        return hashlib.sha256(b"stigmer secrets key:" + self.value).hexdigest()[:ID_DIGITS]


def key_file_of(settings: Settings) -> Path:
    """The file of the key: STIGMER_SECRETS_KEY_FILE, or `secrets.key` in the home."""
    return Path(settings.secrets_key_file) if settings.secrets_key_file else settings.home.secrets_key_file


def lock_file_of(path: Path) -> Path:
    """The file beside that of the key that whoever changes the key holds a lock on."""
    return path.with_name(f"{path.name}.lock")


def make_folder(path: Path) -> None:
    """Have the folder of the key's file there; raises MachineError."""
    try:
        path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot write the key of secrets, {path}: {reason_of(error)}") from error


def read_keys(path: Path) -> Sequence[SecretKey]:
    """The keys in `path`, one a line; none where there is no such file.

    There are more while the key is changed: the new one, and those that the secrets have until then. Raises
    MachineError where it cannot be read, holds no key, or others may read it.
    """
    try:
        with path.open("rb") as file:
            status, text = os.fstat(file.fileno()), file.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise MachineError(f"cannot read the key of secrets, {path}: {reason_of(error)}") from error
    if status.st_mode & OTHERS:
        raise MachineError(
            f"others may read the key of secrets, {path} (mode {status.st_mode & 0o777:04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )
    with suppress(ValueError):
        values = [urlsafe_b64decode(line) for line in text.split()]
        if values and all(len(value) == KEY_BYTES for value in values):
            return [SecretKey(value=value) for value in values]
    raise MachineError(
        f"{path} holds no key of secrets: one is {KEY_BYTES} bytes in Base64", hint=f"restore {path} from a backup"
    )


def write_keys(path: Path, keys: Sequence[SecretKey]) -> None:
    """Put `keys` in `path`, in place of those that are there; raises MachineError, and then these are there still."""
    try:
        write_atomically(path, b"".join(urlsafe_b64encode(key.value) + b"\n" for key in keys), OWNER_ONLY)
    except OSError as error:
        raise MachineError(f"cannot write the key of secrets, {path}: {reason_of(error)}") from error


def new_key() -> SecretKey:
    """A key that nobody has had."""
    return SecretKey(value=secrets.token_bytes(KEY_BYTES))


def make_key(path: Path) -> SecretKey:
    """A new key in `path`, or the one that somebody else has made there meanwhile; raises MachineError."""
    make_folder(path)
    try:
        with suppress(FileExistsError):
            create_atomically(path, urlsafe_b64encode(new_key().value) + b"\n", OWNER_ONLY)
    except OSError as error:
        raise MachineError(f"cannot write the key of secrets, {path}: {reason_of(error)}") from error
    found = read_keys(path)
    if not found:
        raise MachineError(f"the key of secrets, {path}, was removed as soon as it was written")
    return found[0]
