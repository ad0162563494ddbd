"""Tables that fit the terminal: the columns that do not fit are left out, and an id is never cut."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    `rank`: where there is not room for all, the highest ranks are left out first; rank 0 is always shown.
    `width_min`: the column may be as narrow as that, and its cells are then cut, or folded with `is_folded`; None: as
    wide as its longest cell.
    """

    name: str
    rank: int
    width_min: int | None = None
    is_folded: bool = False
    is_right: bool = False


def print_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    """Print `rows`, with a cell for each of `columns`, as wide as the terminal allows and no narrower than an id."""
    table = make_table(columns, rows, console.width)
    console.print(
        table if console.is_terminal else _drop_last_spaces(console, table),
        crop=False,
        soft_wrap=not console.is_terminal,
    )


def _drop_last_spaces(console: Console, table: Table) -> Text:
    """`table` without the spaces at the ends of its lines: a terminal behind a pipe, narrower, shows them as lines."""
    options = console.options.update(width=max(console.width, table.width or 0))
    lines = [
        Text.assemble(*((part.text, part.style or "") for part in line))
        for line in console.render_lines(table, options, pad=False)
    ]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def make_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], room: int) -> Table:
    """The table of `rows`, with a cell for each of `columns`, in `room` columns of the terminal."""
    widest = [
        max([cell_len(column.name), *(cell_len(row[number].plain) for row in rows)])
        for number, column in enumerate(columns)
    ]
    needs = [
        widest[number] if column.width_min is None else min(widest[number], max(column.width_min, len(column.name)))
        for number, column in enumerate(columns)
    ]
    shown = _choose(columns, needs, room)
    widths = _share_out(columns, needs, widest, shown, room)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", width=_sum_up(widths, shown))
    for number in shown:
        column = columns[number]
        table.add_column(
            column.name,
            justify="right" if column.is_right else "left",
            width=widths[number],
            no_wrap=not column.is_folded,
            overflow="fold" if column.is_folded else "ellipsis",
        )
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table


def leave_out_empty(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]]
) -> tuple[Sequence[Column], Sequence[Sequence[Text]]]:
    """Those of `columns` that have something in one of `rows`, and the rows with their cells."""
    kept = [number for number in range(len(columns)) if any(row[number].plain for row in rows)]
    return [columns[number] for number in kept], [[row[number] for number in kept] for row in rows]


def _choose(columns: Sequence[Column], needs: Sequence[int], width: int) -> Sequence[int]:
    """The numbers of the columns that fit, in their order."""
    chosen: list[int] = []
    for number in sorted(range(len(columns)), key=lambda number: columns[number].rank):
        if columns[number].rank == 0 or _sum_up(needs, [*chosen, number]) <= width:
            chosen.append(number)
    return sorted(chosen)


def _share_out(
    columns: Sequence[Column], needs: Sequence[int], widest: Sequence[int], shown: Sequence[int], width: int
) -> Sequence[int]:
    """The width of each column: what it needs, and of the rest of the line as much as its cells fill."""
    widths = list(needs)
    for number in sorted(shown, key=lambda number: columns[number].rank):
        room = max(0, width - _sum_up(widths, shown))
        widths[number] += min(room, widest[number] - widths[number])
    return widths


def _sum_up(needs: Sequence[int], chosen: Sequence[int]) -> int:
    return sum(needs[number] for number in chosen) + GAP * (len(chosen) - 1)
