"""Tries every fault and writes the table of what doctor said.

    python -m tests.e2e.doctor_table --write tests/e2e/faults/README.md

All rows are run, also those that are slow: about three minutes on an idle machine. The table stands between two marks
in the file; without `--write` it is printed. Nothing is written unless every row holds and ended within three seconds.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.e2e.faults.expectation import ENDS_IN_S, judged
from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.fault_list import ROWS
from tests.e2e.faults.harness import Harness, others_temporal, own_temporal, stopped

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- doctor-faults:begin -->", "<!-- doctor-faults:end -->"
HEAD = ("| fault | verdict | fix | exit code | time |", "|---|---|---|---|---|")
STAGES: dict[On, Callable[[Path], AbstractContextManager[Harness]]] = {
    On.OWN: own_temporal,
    On.OTHERS: others_temporal,
    On.COLD: stopped,
}


def cells(row: Row) -> str:
    """All of a row's line in the table but the time, which is measured."""
    fix = f"`{row.fix}`".replace("|", "\\|") if row.fix else "none needed"
    code = f" ({row.code})" if row.code else ""
    return f"| {row.fault}: {row.what} | {row.verdict}{code} | {fix} | {row.exit_code}"


def main() -> int:
    """Try, then write; 0 where every row holds."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--write", type=Path, metavar="FILE", help="the file with the two marks")
    file = asked.parse_args().write
    table = "\n".join((*HEAD, *_lines()))
    if file is None:
        sys.stdout.write(f"{table}\n")
        return 0
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.stderr.write(f"{file} has no {BEGIN} and {END}\n")
        return 1
    file.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    return 0


def _lines() -> list[str]:
    found = {}
    for on, stage_in in STAGES.items():
        with tempfile.TemporaryDirectory(prefix="stigmer-faults-") as folder, stage_in(Path(folder)) as harness:
            for row in (row for row in ROWS if row.on is on):
                took_s = judged(row, harness).took_s
                sys.stderr.write(f"{row.fault}: {row.what}: {took_s:.1f} s\n")
                assert took_s < ENDS_IN_S, "too slow: is the machine busy?"
                found[row] = f"{cells(row)} | {took_s:.1f} s |"
    return [found[row] for row in ROWS]


if __name__ == "__main__":
    raise SystemExit(main())
