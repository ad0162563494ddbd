"""What each part of a home's stack was last started with, in a file that outlives `down`; never a secret's value.

Of a secret the file holds a fingerprint, keyed with a salt of its own; of a URL all but the password.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlsplit

from stigmer_cli.database_url import has_password, without_password
from stigmer_cli.files import OWNER_ONLY, write_atomically
from stigmer_cli.options import BY_NAME, OPTIONS, Option
from stigmer_cli.settings import Home, Settings, Source

FILE = "stack-settings.json"
FINGERPRINT_DIGITS = 8
SALT_BYTES = 16

SERVER, RUNNER, TEMPORAL = "server", "runner", "temporal"
READ_BY: Mapping[str, tuple[str, ...]] = {
    "server_url": (),  # the parts of a stack always talk to its own server
    "insecure_http": (),
    "server_ca_file": (),
    "allowed_hosts": (SERVER,),
    "listen": (SERVER,),
    "tls_cert_file": (SERVER,),
    "tls_key_file": (SERVER,),
    "behind_proxy": (SERVER,),
    "ui_address": (SERVER,),
    "submit_policy": (SERVER,),
    "reconcile": (SERVER,),
    "retention": (SERVER,),
    "event_retention": (SERVER,),
    "workflow_tasks_max": (SERVER,),
    "database_url": (SERVER,),
    "secrets_key_file": (SERVER,),
    "openai_base_url": (RUNNER,),
    "openai_api_key": (RUNNER,),
    "model_silent_for": (RUNNER,),
    "model_retry_for": (RUNNER,),
    "tool_silent_for": (RUNNER,),
    "on_exhausted": (RUNNER,),
    "temporal_binary": (TEMPORAL,),
    "temporal_port": (TEMPORAL, SERVER, RUNNER),
    "temporal_namespace": (TEMPORAL, SERVER, RUNNER),
    "ui_port": (TEMPORAL,),
}
"""Which parts read a setting; the server and the runner where it is not listed."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One setting as a part was given it, and the layer that said so.

    Of a secret `fingerprint` alone tells one value from another; `value` is None for it, and where nothing was set.
    """

    value: str | None = None
    fingerprint: str | None = None
    source: Source = Source.DEFAULT

    @property
    def is_set(self) -> bool:
        """Whether there was a value."""
        return self.value is not None or self.fingerprint is not None

    def is_same(self, other: "Given") -> bool:
        """Whether both mean the same value, whoever set it."""
        return (self.value, self.fingerprint) == (other.value, other.fingerprint)


Part = Mapping[str, Given]
"""The settings that a part reads, by name."""


@dataclass(frozen=True, kw_only=True)
class SettingsRecord:
    """What each part was started with, by its name, and when, in RFC 3339."""

    salt: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    at: Mapping[str, str] = field(default_factory=dict)

    def find_given(self, name: str, part: str | None = None) -> Given | None:
        """The setting `name` as `part` was given it, or as the first part that reads it; None: nothing is known."""
        for reader in (part,) if part else readers(name):
            found = self.parts.get(reader, {}).get(name)
            if found is not None:
                return found
        return None

    def with_parts(self, settings: Settings, names: Sequence[str], *, at: str) -> "SettingsRecord":
        """This record once the parts `names` have been started with `settings`.

        Where the UI of the stack's own Temporal listens is drawn, and not a setting (see http_endpoints.py).
        """
        is_drawn = settings.runs_own_temporal and settings.sources.get("ui_address", Source.DEFAULT) is Source.DEFAULT
        settings = replace(settings, ui_address=None) if is_drawn else settings
        parts = {name: given_to(name, settings, self.salt, kept=self) for name in names}
        return replace(self, parts={**self.parts, **parts}, at={**self.at, **dict.fromkeys(names, at)})

    def only_parts(self, names: Sequence[str]) -> "SettingsRecord":
        """This record without all parts but `names`."""
        kept = {name: part for name, part in self.parts.items() if name in names}
        return replace(self, parts=kept, at={name: at for name, at in self.at.items() if name in kept})

    def only_setting(self, name: str) -> "SettingsRecord":
        """This record, as if nothing were known but the setting `name`."""
        return self._filtered(lambda one: one == name)

    def without_setting(self, name: str) -> "SettingsRecord":
        """This record, as if the setting `name` were not known."""
        return self._filtered(lambda one: one != name)

    def _filtered(self, is_known: Callable[[str], bool]) -> "SettingsRecord":
        parts = {
            part: {name: given for name, given in settings.items() if is_known(name)}
            for part, settings in self.parts.items()
        }
        return replace(self, parts=parts)


def readers(name: str) -> tuple[str, ...]:
    """The parts that read the setting `name`."""
    return READ_BY.get(name, (SERVER, RUNNER))


def given_to(part: str, settings: Settings, salt: str, *, kept: SettingsRecord | None = None) -> Part:
    """What `part` is given by `settings`; a value that was taken from the record `kept` keeps the layer named there."""
    return {option.name: _given(option, settings, salt, kept) for option in OPTIONS if part in readers(option.name)}


def new_record() -> SettingsRecord:
    """The record of a home in which nothing was started yet, with a salt of its own."""
    import secrets  # noqa: PLC0415 - readers must not pay for it

    return SettingsRecord(salt=secrets.token_hex(SALT_BYTES))


def read_settings_record(home: Home) -> SettingsRecord | None:
    """The record of `home`; None where there is none, or it is illegible."""
    try:
        found = json.loads((home.data / FILE).read_bytes())
        parts = {part: _part(settings) for part, settings in found["parts"].items()}
        return SettingsRecord(salt=str(found["salt"]), parts=parts, at=dict(found["at"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_settings_record(home: Home, record: SettingsRecord) -> None:
    """Write `record` atomically, for its owner only; raises OSError."""
    text = json.dumps(asdict(record), indent=2) + "\n"
    write_atomically(home.data / FILE, text.encode(), OWNER_ONLY)


def fingerprint(value: str, salt: str) -> str:
    """The first hexadecimal digits of HMAC-SHA-256: the same for the same value, and it says nothing else about it."""
    import hmac  # noqa: PLC0415 - readers must not pay for it

    return hmac.digest(salt.encode(), value.encode("utf-8", "surrogateescape"), "sha256").hex()[:FINGERPRINT_DIGITS]


def _given(option: Option, settings: Settings, salt: str, kept: SettingsRecord | None) -> Given:
    value, source = getattr(settings, option.name), settings.sources.get(option.name, Source.DEFAULT)
    if source is Source.RECORD and kept is not None and (before := kept.find_given(option.name)):
        source = before.source
    if value is None:
        return Given(source=source)
    text = str(value)
    if option.name == "database_url":
        mark = fingerprint(text, salt) if has_password(text) else None
        return Given(value=without_password(text), fingerprint=mark, source=source)
    if option.is_secret:
        return Given(fingerprint=fingerprint(text, salt), source=source)
    shown = _without_user(text)
    mark = None if shown == text else fingerprint(text, salt)
    return Given(value=shown, fingerprint=mark, source=source)


def _without_user(text: str) -> str:
    """`text`, without user and password if it is a URL of http or https."""
    if not text.startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _part(found: Mapping[str, Mapping[str, str | None]]) -> Part:
    return {
        name: Given(value=one["value"], fingerprint=one["fingerprint"], source=Source(str(one["source"])))
        for name, one in found.items()
        if name in BY_NAME
    }
