"""How long a command takes to start, beside the smallest program of its libraries in the same run.

Each round runs every command once, the bare programs among them. The home is empty and no stack runs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.report import Benchmark, Row, interleave, medians
from tests.support.installed import Stigmer

ROUNDS, QUICK_ROUNDS = 31, 7
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
COMPLETING = {"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": "stigmer exec", "_STIGMER_WORD": "exec"}


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


def _command(argv: Sequence[str], environment: Mapping[str, str]) -> Callable[[], object]:
    return lambda: subprocess.run(argv, env=dict(environment), capture_output=True, check=False)


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Milliseconds of each command; its budget is a ratio."""
    with tempfile.TemporaryDirectory() as folder:
        stigmer = Stigmer(Path(folder) / "home")
        commands: dict[str, Callable[[], object]] = {}
        for name, text in ((TYPER, APPLICATION), (WITH_HTTPX, f"import httpx\n{APPLICATION}")):
            program = Path(folder) / f"{len(commands)}.py"
            program.write_text(text)
            commands[name] = _command([sys.executable, str(program)], os.environ)
        for case in CASES:
            commands[case.name] = _command(
                [stigmer.command, *case.arguments], {**stigmer.environment, **case.environment}
            )
        took_s = medians(interleave(commands, QUICK_ROUNDS if is_quick else ROUNDS))
    return [
        Row(
            what=case.name,
            measured=took_s[case.name] * 1000,
            unit="ms",
            reference=case.bare,
            beside=took_s[case.bare] * 1000,
            budget=case.budget,
        )
        for case in CASES
    ]


BENCHMARK = Benchmark(
    name="start",
    about="How long a command takes to start, beside the smallest program of its libraries.",
    run=run,
)
