"""Which stack the commands in a home are about."""

from pathlib import Path

from stigmer_cli.cli.context import Cli
from stigmer_cli.settings import Home, load
from stigmer_cli.stack.settings_record import new_record, write_settings_record


def test_a_stack_that_was_stopped_keeps_its_ports_for_whoever_looks(home: Home) -> None:
    """Commands said that the usual port belongs to another process; `up` would not have used that port."""
    home.data.mkdir(mode=0o700)
    started = load({"server_port": "7301"}, {"STIGMER_HOME": str(home.path)}, user_home=Path("/nowhere"))
    write_settings_record(home, new_record().with_parts(started, ("server",), at="2026-01-01T00:00:00Z"))
    found = Cli(environ={"STIGMER_HOME": str(home.path)}, user_home=Path("/nowhere")).load_settings()
    assert found.server_target == "http://127.0.0.1:7301"
