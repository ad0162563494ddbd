"""What one end of a link trusts and shows: its authorities, its own certificate, the name it expects."""

import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.errors import ConfigError
from stigmer_cli.tls.files import KeyPair, Stamp, read_pem, stamp_of


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The calling end's side. The `..._setting` say what a person sets; those that this link has not are empty.

    `ca` None trusts the system's authorities; `server_name` None expects the host of the address.
    """

    ca_setting: str
    name_setting: str = ""
    pair_setting: str = ""
    ca: Path | None = None
    pair: KeyPair | None = None
    server_name: str | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file of it."""
        return (*((self.ca,) if self.ca else ()), *(self.pair.paths if self.pair else ()))

    def stamp(self) -> Stamp:
        """What changes when a file of it does."""
        return stamp_of(self.paths)

    def context(self) -> ssl.SSLContext:
        """What to dial with, from the files as they are now; raises ConfigError where one cannot be used."""
        context = ssl.create_default_context(cadata=authorities(self.ca, self.ca_setting) if self.ca else None)
        if self.ca is None and not any(ssl.get_default_verify_paths()[:2]):
            import certifi  # noqa: PLC0415 - only where the system brings no authorities of its own (Python.org's macOS)

            context.load_verify_locations(certifi.where())
        if self.pair is not None:
            self.pair.load_into(context)
        return context

    def trust_also(self, context: ssl.SSLContext) -> None:
        """Have `context` trust what the authority's file says now, too; raises ConfigError where it cannot be used."""
        if self.ca is not None:
            context.load_verify_locations(cadata=authorities(self.ca, self.ca_setting))


def authorities(path: Path, setting: str) -> str:
    """The certificates of authorities in a file, as PEM; raises ConfigError where there are none."""
    text = read_pem(path, setting)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{setting}: {path} holds no certificate of an authority",
            hint=f"openssl x509 -noout -subject -in {shlex.quote(str(path))}",
        ) from error
    return text


def server_trust(ca_file: str | None) -> Trust:
    """What commands and runners trust for a server behind https."""
    return Trust(ca=Path(ca_file) if ca_file else None, ca_setting="STIGMER_SERVER_CA_FILE")
