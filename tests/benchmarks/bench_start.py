"""How long a command takes to start, beside the smallest program of its libraries in the same run.

    python tests/benchmarks/bench_start.py [--rounds N] [--json FILE]

Each round runs every command once, the bare programs among them. Prints medians in milliseconds, each as a ratio to its
bare program, and the budget of that ratio. The home is empty and no stack runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.installed import Stigmer

TYPER = "one-command typer application"
WITH_HTTPX = "the same, with httpx imported"
APPLICATION = """
import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main() -> None:
    typer.echo("1.0.0")


app()
"""
COMPLETING = {"_STIGMER_COMPLETE": "complete_bash", "COMP_WORDS": "stigmer exec", "COMP_CWORD": "1"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, what it is compared with, and how many times as long it may take."""

    name: str
    arguments: Sequence[str]
    bare: str
    budget: float
    environment: Mapping[str, str] = field(default_factory=dict)


CASES = (
    Case(name="stigmer --version", arguments=("--version",), bare=TYPER, budget=1.25),
    Case(name="stigmer version", arguments=("version",), bare=TYPER, budget=1.25),
    Case(name="completion of a word", arguments=(), bare=TYPER, budget=1.25, environment=COMPLETING),
    Case(name="stigmer --help", arguments=("--help",), bare=TYPER, budget=1.5),
    Case(name="stigmer run --help", arguments=("run", "--help"), bare=TYPER, budget=1.5),
    Case(name="stigmer status", arguments=("status",), bare=WITH_HTTPX, budget=1.5),
)


def _measure(argv: Sequence[str], environment: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, env=dict(environment), capture_output=True, check=False)
    return (time.perf_counter() - begun) * 1000


def _run_round(stigmer: Stigmer, bare: Mapping[str, Path], samples: dict[str, list[float]]) -> None:
    for name, program in bare.items():
        samples.setdefault(name, []).append(_measure([sys.executable, str(program)], os.environ))
    for case in CASES:
        environment = {**stigmer.environment, **case.environment}
        samples.setdefault(case.name, []).append(_measure([stigmer.command, *case.arguments], environment))


def _print(samples: Mapping[str, Sequence[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in samples.items()}
    print(f"{'':<32}{'ms':>8}{'ratio':>8}{'budget':>8}")
    for name in (TYPER, WITH_HTTPX):
        print(f"{name:<32}{medians[name]:>8.0f}")
    for case in CASES:
        print(
            f"{case.name:<32}{medians[case.name]:>8.0f}{medians[case.name] / medians[case.bare]:>8.2f}{case.budget:>8}"
        )


def main() -> None:
    """Measure, print, and write the samples where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bare = {TYPER: Path(folder) / "bare.py", WITH_HTTPX: Path(folder) / "bare_httpx.py"}
        bare[TYPER].write_text(APPLICATION)
        bare[WITH_HTTPX].write_text(f"import httpx\n{APPLICATION}")
        stigmer = Stigmer(Path(folder) / "home")
        for _ in range(options.rounds):
            _run_round(stigmer, bare, samples)
    _print(samples)
    if options.json:
        options.json.write_text(json.dumps(samples, indent=1))


if __name__ == "__main__":
    main()
