"""What a benchmark is, what it hands back, and how figures become a table, JSON, and a page of the manual.

A module `bench_NAME.py` in this folder has one object of this name:

    BENCHMARK = Benchmark(name="NAME", about="One sentence: what is measured, and beside what.", run=run)

`run(quick)` measures and returns rows. With `quick` it ends within a minute and its figures are rough. It compares
what it measures with a reference in the same run, interleaved, because the speed of a machine drifts: see `interleave`.
It leaves no process and no file behind.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures.json"
"""The figures that the manual shows."""

PAGE = Path(__file__).parents[2] / "stigmer_cli" / "manual" / "performance.md"
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: `measured` in `unit`, beside the `reference` that took `beside` in the same unit and run.

    `budget` limits the ratio of the two, or `measured` itself without a reference; with `is_rate` more is better
    and the budget is the least. `rival` names another product as reference: the verdict then says who wins.
    """

    what: str
    measured: float
    unit: str
    reference: str = ""
    beside: float | None = None
    budget: float | None = None
    is_rate: bool = False
    rival: str = ""

    @property
    def ratio(self) -> float | None:
        """`measured` as a multiple of the reference; None without one."""
        return self.measured / self.beside if self.beside else None

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        figure = self.measured if self.ratio is None else self.ratio
        if self.budget is None:
            return None
        return figure >= self.budget if self.is_rate else figure <= self.budget

    @property
    def verdict(self) -> str:
        """`met`, `NOT met`, the winner of a comparison with a rival, or nothing."""
        if self.is_met is not None:
            return "met" if self.is_met else "NOT met"
        if not self.rival or self.ratio is None:
            return ""
        return f"{'Stigmer' if (self.ratio > 1) is self.is_rate else self.rival} wins"

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "what": self.what,
            "measured": round(self.measured, 4),
            "unit": self.unit,
            "reference": self.reference,
            "beside": None if self.beside is None else round(self.beside, 4),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "budget": self.budget,
            "isRate": self.is_rate,
            "rival": self.rival,
            "met": self.is_met,
        }


def row_from_json(found: Mapping[str, Any]) -> Row:
    """The row that `to_json` wrote; raises KeyError for anything else."""
    return Row(
        what=found["what"],
        measured=found["measured"],
        unit=found["unit"],
        reference=found["reference"],
        beside=found["beside"],
        budget=found["budget"],
        is_rate=found["isRate"],
        rival=found["rival"],
    )


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A named measurement: `run(quick)` returns its rows."""

    name: str
    about: str
    run: Callable[[bool], Sequence[Row]]


def interleave(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each case in each round; a round runs every case once, so that a busy moment meets all alike."""
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            samples[name].append(time_call(run))
    return samples


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each case."""
    return {name: statistics.median(values) for name, values in samples.items()}


def time_call(run: Callable[[], object]) -> float:
    """The seconds that `run` takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | beside | ratio | budget | |", "|---|---|---|---|---|---|"]
    for row in rows:
        beside = "" if row.beside is None else f"{row.reference}: {_figure(row.beside, row.unit)}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"| {row.what} | {_figure(row.measured, row.unit)} | {beside} | {ratio} | {_budget(row)} | {row.verdict} |"
        )
    return "\n".join(lines)


def _figure(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # three digits tell enough
    return f"{value:,.{digits}f} {unit}"


def _budget(row: Row) -> str:
    if row.budget is None:
        return ""
    unit = f" {row.unit}" if row.ratio is None else ""
    return f"{'>=' if row.is_rate else '<='} {row.budget:g}{unit}"


# -- figures that were kept


def read_figures(file: Path = FIGURES) -> dict[str, Any]:
    """The figures of each benchmark that were kept, by its name; empty where the file is missing."""
    found = json.loads(file.read_text()) if file.exists() else {}
    assert isinstance(found, dict)
    return found


def figures_to_json(benchmark: Benchmark, rows: Sequence[Row], *, is_quick: bool) -> dict[str, Any]:
    """What is kept of one run of `benchmark`."""
    return {
        "about": benchmark.about,
        "quick": is_quick,
        "python": ".".join(map(str, sys.version_info[:3])),
        "rows": [row.to_json() for row in rows],
    }


def fill_page(text: str, figures: Mapping[str, Any]) -> str:
    """`text` with the tables between its markers replaced by those of `figures`; other text stays as it is.

    What stands between the markers of a benchmark without figures stays, too: it was not measured yet. Raises
    ValueError for a marker that is not closed.
    """
    filled, rest = "", text
    opening, closing = BEGIN.split("{}")
    while opening in rest:
        before, _, after = rest.partition(opening)
        name, _, body = after.partition(closing)
        body, end, rest = body.partition(END)
        if not end:
            raise ValueError(f"the figures of {name} have no end")
        if name in figures:
            body = f"\n{format_table([row_from_json(found) for found in figures[name]['rows']])}\n"
        filled += f"{before}{BEGIN.format(name)}{body}{END}"
    return filled + rest
