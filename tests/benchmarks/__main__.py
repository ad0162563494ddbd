"""Runs the benchmarks: `python -m tests.benchmarks [--quick] [--only NAME]... [--json FILE] [--keep]`.

Prints one table for each, and exits 1 if a budget is not met. `--keep` puts the figures into the manual.
"""

import argparse
import importlib
import json
import os
import pkgutil
from pathlib import Path

import tests.benchmarks
from tests.benchmarks.report import (
    FIGURES,
    PAGE,
    Benchmark,
    figures_to_json,
    fill_page,
    format_table,
    read_figures,
)


def find_benchmarks() -> dict[str, Benchmark]:
    """Every benchmark of this folder, by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(tests.benchmarks.__path__))
    modules = [importlib.import_module(f"tests.benchmarks.{name}") for name in names if name.startswith("bench_")]
    return {module.BENCHMARK.name: module.BENCHMARK for module in modules}


def main() -> int:
    """Run those that were asked for, one after another; 1: a budget is not met."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles its modules, which users' do not
    known = find_benchmarks()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute or so each, and rough figures")
    parser.add_argument("--only", action="append", choices=sorted(known), help="may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="keep the figures in the manual; not with --quick")
    asked = parser.parse_args()
    if asked.keep and asked.quick:
        parser.error("--keep needs the figures of a whole run, without --quick")
    figures, is_met = {}, True
    for name in asked.only or known:
        rows = known[name].run(asked.quick)
        figures[name] = figures_to_json(known[name], rows, is_quick=asked.quick)
        is_met = is_met and all(row.is_met is not False for row in rows)
        print(f"\n## {name}\n\n{known[name].about}\n\n{format_table(rows)}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.keep:
        kept = read_figures() | figures
        FIGURES.write_text(json.dumps(kept, indent=1) + "\n")
        PAGE.write_text(fill_page(PAGE.read_text(), kept))
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
