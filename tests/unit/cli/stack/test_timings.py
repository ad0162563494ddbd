"""Where the time of a start went, as bars: each line fits a narrow terminal, and the bars share one scale."""

import io

import pytest
from rich.console import Console

from stigmer_cli.cli.stack.timings import print_timings
from stigmer_cli.stack.start_timings import PartTimings

PARTS = (
    PartTimings(part="supervisor", spawned_s=0.2),
    PartTimings(part="temporal", spawned_s=0.2, listening_s=0.4, ready_s=0.8),
    PartTimings(part="server", spawned_s=0.2, imported_s=0.6, listening_s=0.7, ready_s=0.8),
    PartTimings(part="runner", spawned_s=0.2, imported_s=0.5, listening_s=0.9, ready_s=1.0),
)
BARS = """\
                                              . spawn - import = listen  # ready
supervisor .......                             0.20 s
temporal   .......======#############          0.20 s            0.20 s   0.40 s
server     .......-------------===###          0.20 s   0.40 s   0.10 s   0.10 s
runner     .......---------==============###   0.20 s   0.30 s   0.40 s   0.10 s
"""


def printed(width: int, parts: tuple[PartTimings, ...] = PARTS, encoding: str = "ascii") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_timings(Console(file=file, width=width, color_system=None), parts)
    file.seek(0)
    return "\n".join(line.rstrip() for line in file.read().splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 120, 1000])
def test_the_bars_of_all_parts_share_one_scale_and_fit_eighty_columns(width: int) -> None:
    assert printed(width) == BARS
    assert max(map(len, BARS.splitlines())) <= 80


def test_blocks_are_drawn_where_the_output_takes_them_and_numbers_stay_where_there_is_no_room() -> None:
    assert "░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▓▓▓███" in printed(80, encoding="utf-8")
    assert "0.40 s   0.10 s   0.10 s" in printed(30)


def test_a_part_that_took_no_time_draws_nothing() -> None:
    assert printed(80, (PartTimings(part="server", spawned_s=0.0),)).splitlines()[1] == "server"
