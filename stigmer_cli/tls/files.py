"""The files that TLS is made of, each refused with its own sentence: missing, no certificate, another key."""

import shlex
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.errors import ConfigError, reason_of
from stigmer_cli.tls.certificate import Validity, first_in, validity

Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp_of(paths: Sequence[Path]) -> Stamp:
    """What changes when one of `paths` is written or replaced (also behind a symbolic link, as Kubernetes does it)."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_pem(path: Path, setting: str) -> str:
    """The text of the file that `setting` names; raises ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigError(
            f"{setting}: {path} cannot be read: {reason_of(error)}", hint=f"ls -l {shlex.quote(str(path))}"
        ) from error


def read_certificate(path: Path, setting: str) -> Validity:
    """When the first certificate in the file is valid; raises ConfigError where there is none."""
    try:
        return validity(first_in(read_pem(path, setting)))
    except ValueError as error:
        raise ConfigError(
            f"{setting}: {path} is not a certificate: {error}",
            hint=f"openssl x509 -noout -subject -in {shlex.quote(str(path))}",
        ) from error


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A certificate and its key, and the settings that name them."""

    cert: Path
    key: Path
    cert_setting: str
    key_setting: str

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both files."""
        return self.cert, self.key

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have `context` show this certificate; raises ConfigError where the files cannot be used."""
        read_certificate(self.cert, self.cert_setting)
        text = read_pem(self.key, self.key_setting)
        cert, key = shlex.quote(str(self.cert)), shlex.quote(str(self.key))
        if "PRIVATE KEY-----" not in text:
            raise ConfigError(
                f"{self.key_setting}: {self.key} holds no private key", hint=f"openssl pkey -noout -in {key}"
            )
        if "ENCRYPTED" in text:
            raise ConfigError(
                f"{self.key_setting}: the key in {self.key} has a passphrase, and nobody can type it here",
                hint=f"openssl pkey -in {key} -out KEY-WITHOUT-PASSPHRASE",
            )
        try:
            context.load_cert_chain(self.cert, self.key)
        except ssl.SSLError as error:
            why = (
                f"the key in {self.key} is not the key of the certificate in {self.cert}"
                if error.reason == "KEY_VALUES_MISMATCH"
                else f"{self.cert} and {self.key} cannot be used: {error.reason or error}"
            )
            raise ConfigError(
                f"{self.cert_setting} and {self.key_setting}: {why}",
                hint=f"openssl x509 -noout -pubkey -in {cert}; openssl pkey -pubout -in {key}",
            ) from error
