"""`stigmer config set` and `unset`: config.toml changed, and from when on it counts."""

from pathlib import Path

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import ParseError

from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, write_atomically
from stigmer_cli.home_trust import require_trust
from stigmer_cli.settings import BY_NAME, Source, parsed
from stigmer_cli.stack.endpoints_file import endpoints
from stigmer_cli.stack.precedence import DATABASE
from stigmer_cli.stack.settings_record import RUNNER, read_settings_record, readers


def set_setting(cli: Cli, name: str, value: str) -> None:
    """Write it; raises ConfigError where there is no such setting, or `value` is none of its values."""
    checked = parsed(name, value)
    require_trust(cli.home.path)
    document = _document(cli.home.config_file)
    document[name] = checked if isinstance(checked, int) else str(checked)
    _write(cli.home.config_file, document)
    _note_overridden(cli, name)
    _note_when_it_counts(cli, name)


def unset_setting(cli: Cli, name: str) -> None:
    """Take it out; raises ConfigError where there is neither such a setting nor such a line."""
    require_trust(cli.home.path)
    document = _document(cli.home.config_file)
    if name not in document:
        if name not in BY_NAME:
            parsed(name, "")  # raises, with the nearest name
        cli.out.note(f"{cli.home.config_file} does not set {name}; nothing was changed")
        return
    del document[name]
    _write(cli.home.config_file, document)
    if name in BY_NAME:
        _note_overridden(cli, name)
        _note_when_it_counts(cli, name)


def _document(file: Path) -> TOMLDocument:
    try:
        return tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error


def _write(file: Path, document: TOMLDocument) -> None:
    try:
        file.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        write_atomically(file, tomlkit.dumps(document).encode(), OWNER_ONLY)
    except OSError as error:
        raise MachineError(f"cannot write {file}: {reason_of(error)}") from error


def _note_when_it_counts(cli: Cli, name: str) -> None:
    """A part that runs keeps what it was started with, and commands find it where it is."""
    if name == DATABASE and read_settings_record(cli.home):
        cli.out.note("it counts from the next `stigmer up --new-database` on; executions are not moved")
    elif name != "server_url" and endpoints(cli.home) is not None:
        part = "runner" if readers(name) == (RUNNER,) else ""
        cli.out.note(
            f"it counts from the next `{f'stigmer restart {part}'.strip()}` on; until then the stack runs as it is"
        )


def _note_overridden(cli: Cli, name: str) -> None:
    settings = cli.own_settings()
    if settings.sources[name] is Source.ENVIRONMENT:
        cli.out.warning(f"{name} is overridden by the environment")
