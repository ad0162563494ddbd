"""`approve` refuses arguments that no call can have before it asks the server anything."""

import pytest

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.decide import decide_calls
from stigmer_cli.cli.executions.options import DecideOptions, Selection
from stigmer_cli.errors import ConfigError
from tests.support.fakes_temporal import LoopClock


@pytest.mark.parametrize(
    ("arguments", "said"),
    [('{"x": NaN}', "NaN is not allowed"), ('{"x": 1e999}', "too large"), ("[1]", "are not a JSON object")],
)
def test_arguments_that_are_no_json_object_are_refused(arguments: str, said: str) -> None:
    options = DecideOptions(
        is_approval=True,
        step="/turns/0/calls/0",
        reason="",
        arguments=arguments,
        is_all=False,
        is_dry_run=False,
        is_agreed=False,
    )
    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    with pytest.raises(ConfigError, match=said):
        decide_calls(cli, Selection(ids=["aex-1"]), options)
