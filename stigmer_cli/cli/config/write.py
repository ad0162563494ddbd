"""`stigmer config set` and `unset`: changes config.toml, and says when the change takes effect."""

from pathlib import Path

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import ParseError

from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, write_atomically
from stigmer_cli.settings import BY_NAME, Source, parse_setting, require_trusted
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.home import way_out
from stigmer_cli.stack.precedence import DATABASE
from stigmer_cli.stack.settings_record import RUNNER, read_settings_record, readers


def set_setting(cli: Cli, name: str, value: str) -> None:
    """Write it; raises ConfigError for an unknown setting or a value that it cannot have."""
    checked = parse_setting(name, value)
    require_trusted(cli.home)
    document = _read_document(cli.home.config_file)
    document[name] = checked if isinstance(checked, int) else str(checked)
    _write(cli.home.config_file, document)
    _note_overridden(cli, name)
    _note_when_it_counts(cli, name)


def unset_setting(cli: Cli, name: str) -> None:
    """Remove it; raises ConfigError for an unknown setting that the file does not contain either."""
    require_trusted(cli.home)
    document = _read_document(cli.home.config_file)
    if name not in document:
        if name not in BY_NAME:
            parse_setting(name, "")  # raises, with the nearest name
        cli.out.note(f"{cli.home.config_file} does not set {name}; nothing was changed")
        return
    del document[name]
    _write(cli.home.config_file, document)
    if name in BY_NAME:
        _note_overridden(cli, name)
        _note_when_it_counts(cli, name)


def _read_document(file: Path) -> TOMLDocument:
    try:
        return tomlkit.parse(file.read_text(encoding="utf-8-sig")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error


def _write(file: Path, document: TOMLDocument) -> None:
    try:
        file.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        # Through a link, as those who keep their settings in a repository have it: the link itself stays.
        write_atomically(file.resolve(), tomlkit.dumps(document).encode(), OWNER_ONLY)
    except OSError as error:
        raise MachineError(f"cannot write {file}: {reason_of(error)}", hint=way_out(file.parent, error)) from error


def _note_when_it_counts(cli: Cli, name: str) -> None:
    """Say when the change takes effect: a running part keeps the settings that it was started with."""
    if name == DATABASE and read_settings_record(cli.home):
        cli.out.note("it counts from the next `stigmer up --new-database` on; executions are not moved")
    elif name != "server_url" and read_endpoints(cli.home) is not None:
        part = "runner" if readers(name) == (RUNNER,) else ""
        cli.out.note(
            f"it counts from the next `{f'stigmer restart {part}'.strip()}` on; until then the stack runs as it is"
        )


def _note_overridden(cli: Cli, name: str) -> None:
    settings = cli.load_own_settings()
    if settings.sources[name] is Source.ENVIRONMENT:
        cli.out.warning(f"{BY_NAME[name].variable} of this shell overrides it")
        cli.out.hint(f"unset {BY_NAME[name].variable}")
