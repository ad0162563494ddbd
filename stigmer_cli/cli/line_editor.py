"""The terminal as a line editor uses it: on standard error, without colours."""

import os
import sys
from typing import TYPE_CHECKING

from stigmer_cli.cli.context import Cli

if TYPE_CHECKING:
    from prompt_toolkit.data_structures import Size
    from prompt_toolkit.output import ColorDepth
    from prompt_toolkit.output.vt100 import Vt100_Output

CANNOT_EDIT = frozenset({"", "dumb", "unknown"})
"""Kinds of terminal (TERM) that print, and know no movement of the cursor."""


def can_edit(cli: Cli) -> bool:
    """Whether there is a terminal that a line editor can work on."""
    return cli.can_ask and cli.environ.get("TERM", "") not in CANNOT_EDIT


def make_output() -> "Vt100_Output":
    """Standard error as the editor writes to it. Where the cursor is is not asked: not every terminal tells it."""
    from prompt_toolkit.output.vt100 import Vt100_Output  # noqa: PLC0415 - for a terminal only

    return Vt100_Output(sys.stderr, _measure, enable_cpr=False)


def no_color() -> "ColorDepth":
    """What keeps the editor from using colours."""
    from prompt_toolkit.output import ColorDepth  # noqa: PLC0415

    return ColorDepth.DEPTH_1_BIT


def _measure() -> "Size":
    """How large the terminal is; 80 columns and 24 rows where it does not say."""
    from prompt_toolkit.data_structures import Size  # noqa: PLC0415

    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        columns, rows = 0, 0
    return Size(rows=rows or 24, columns=columns or 80)
