"""Takes secrets and the name of the home folder out of text that is going to be shown to strangers."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stigmer_cli.secret_values import GONE, LITERAL_MIN, URL_SECRETS, longest_first
from stigmer_cli.settings import OPTIONS, Settings

FILE_MAX = 64 * 1024
_WORD = (
    r"(?:api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|auth[_-]?token|token|secret|passw(?:or)?d"
    r"|passphrase|credentials?|cookie)"
)
_QUOTE = r"\\*[\"']"
SECRET_NAME = re.compile(rf"(?i){_WORD}$")

PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL), GONE),
    (re.compile(rf"(?i)(authorization(?:{_QUOTE})?\s*[:=,]\s*(?:{_QUOTE})?)[^\"'\\\r\n]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{GONE}"),
    # also where it begins as a port and a path do: what strangers read may rather lack an address
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/:@\"']{0,200}:)[^\s\"']{1,300}@"), rf"\1{GONE}@"),
    *URL_SECRETS,
    # "name": "value", name='value', also within a string that was quoted again
    (re.compile(rf"(?i)({_WORD}(?:{_QUOTE})?\s*[:=]\s*{_QUOTE})(?:[^\"'\\]|\\.)+"), rf"\1{GONE}"),
    (re.compile(rf"(?i)({_WORD}(?:{_QUOTE})?\s*=\s*)[^\s\"'\\,;&)}}\]]+"), rf"\1{GONE}"),
    (re.compile(rf"(?i)((?<!-)--[\w-]{{0,40}}{_WORD}[ =])[^\s\"'\\]+"), rf"\1{GONE}"),
    # name: value, as in headers and YAML; in a sentence, a path or words follow
    (re.compile(rf"(?i)({_WORD}:\s*)(?![/~])[^\s\"'\\,;]+(?=\s*$|[\r\n,;\"'\\])", re.MULTILINE), rf"\1{GONE}"),
    (
        re.compile(
            r"\b(?:sk-[A-Za-z0-9_-]{8,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}"
            r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
        ),
        GONE,
    ),
)
"""What looks like a secret, known or not. A pattern never removes a quote: JSON stays JSON.

A search takes time in proportion to the text: no pattern begins with a repetition without a limit, which would be
tried again at each character of a long word, and none looks ahead without a limit for a character that may be missing.
"""


class Redaction:
    """Takes `secrets` out of text, in every spelling, and what looks like one; `user_home` becomes `~`."""

    def __init__(self, secrets: Iterable[str], *, user_home: Path | None) -> None:
        spelled = longest_first(secrets)
        self._secrets = re.compile("|".join(map(re.escape, spelled))) if spelled else None
        homes = {str(user_home), str(user_home.resolve())} - {"/", "."} if user_home else set()
        names = "|".join(re.escape(home) for home in sorted(homes, key=len, reverse=True))
        self._home = re.compile(rf"(?:{names})(?![\w-]|\.\w)") if homes else None

    def text(self, text: str) -> str:
        """`text` without them."""
        if self._secrets is not None:
            text = self._secrets.sub(GONE, text)
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        return self._home.sub("~", text) if self._home else text

    def value(self, value: object) -> object:
        """The same for every string in a JSON value; a value whose name is that of a secret is removed whole."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {str(name): self._named(str(name), one) for name, one in value.items()}
            case list() | tuple():
                return [self.value(one) for one in value]
            case _:
                return value

    def _named(self, name: str, value: object) -> object:
        is_secret = SECRET_NAME.search(name) is not None and isinstance(value, str) and value
        return GONE if is_secret else self.value(value)


def known_secrets(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret that this command can read: of settings, environment, token file and config.toml."""
    found = [str(getattr(settings, option.name) or "") for option in OPTIONS if option.is_secret]
    files = [getattr(settings, option.name) for option in OPTIONS if option.name.endswith("_key_file")]
    found += [
        _read(Path(name)).strip()
        for name in (settings.home.token_file, settings.home.secrets_key_file, *filter(None, files))
    ]
    found += [value for name, value in environ.items() if SECRET_NAME.search(name)]
    config = _read(settings.home.config_file)
    found += [value for name, value in _lines_of_toml(config) if SECRET_NAME.search(name)]
    found += _passwords([*environ.values(), *found, config])
    return tuple(secret for secret in dict.fromkeys(found) if len(secret) >= LITERAL_MIN and "://" not in secret)


def _lines_of_toml(text: str) -> list[tuple[str, str]]:
    """Names and values line by line, because the file may not parse."""
    return re.findall(r"(?m)^\s*[\"']?([\w-]+)[\"']?\s*=\s*[\"']+(.*?)[\"']+\s*(?:#.*)?$", text)


def _passwords(texts: Iterable[str]) -> list[str]:
    return [found for text in texts for found in re.findall(r"://[^\s/:@\"']*:([^\s\"']+)@", text)]


def _read(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(FILE_MAX).decode("utf-8", "replace")
    return ""
