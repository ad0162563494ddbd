"""How long a command takes to start, beside the smallest program of its libraries in the same run.

Each round runs every command once, the bare programs among them. Some run in an empty home without a stack, and those
that ask a stack beside one that is ready and idle.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.report import Benchmark, Row, interleave, medians
from tests.support.installed import Stigmer, frozen, installed

ROUNDS, QUICK_ROUNDS = 31, 7
TYPER = "one-command typer application"
WITH_HTTPX = "the same, with httpx imported"
WITH_TEMPORAL = "the same, with httpx and temporalio.client imported"
APPLICATION = """
import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main() -> None:
    typer.echo("1.0.0")


app()
"""
LIVE, LIVE_FROZEN = "completion of an execution's id", "the same, with a server that does not answer"
LIVE_MAX_MS = 300.0
COMPLETING_ID = {"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": "stigmer executions get ", "_STIGMER_WORD": ""}
COMPLETING = {"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": "stigmer exec", "_STIGMER_WORD": "exec"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, what it is compared with, and how many times as long it may take."""

    name: str
    arguments: Sequence[str]
    bare: str
    budget: float
    environment: Mapping[str, str] = field(default_factory=dict)
    has_stack: bool = False


CASES = (
    Case(name="stigmer --version", arguments=("--version",), bare=TYPER, budget=1.25),
    Case(name="stigmer version", arguments=("version",), bare=TYPER, budget=1.25),
    Case(name="completion of a word", arguments=(), bare=TYPER, budget=1.25, environment=COMPLETING),
    Case(name="stigmer --help", arguments=("--help",), bare=TYPER, budget=1.5),
    Case(name="stigmer run --help", arguments=("run", "--help"), bare=TYPER, budget=1.5),
    Case(name="stigmer status, without a stack", arguments=("status",), bare=WITH_HTTPX, budget=1.5),
    Case(name="stigmer status", arguments=("status",), bare=WITH_HTTPX, budget=1.5, has_stack=True),
    Case(name="stigmer executions list", arguments=("executions", "list"), bare=WITH_HTTPX, budget=1.5, has_stack=True),
    Case(name="stigmer agents list", arguments=("agents", "list"), bare=WITH_HTTPX, budget=1.5, has_stack=True),
    Case(name="stigmer doctor", arguments=("doctor",), bare=WITH_TEMPORAL, budget=1.5, has_stack=True),
)


def _command(argv: Sequence[str], environment: Mapping[str, str]) -> Callable[[], object]:
    return lambda: subprocess.run(argv, env=dict(environment), capture_output=True, check=False)


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Milliseconds of each command; its budget is a ratio."""
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder) / "stack") as stack:
        stack.ok("up")
        stack.apply_agent()
        stack.ok("run", "greeter", "hello")
        commands = _bare_commands(Path(folder))
        empty = Stigmer(Path(folder) / "empty")
        for case in CASES:
            stigmer = stack if case.has_stack else empty
            commands[case.name] = _command(
                [stigmer.command, *case.arguments], {**stigmer.environment, **case.environment}
            )
        rounds = QUICK_ROUNDS if is_quick else ROUNDS
        live = _command([stack.command], {**stack.environment, **COMPLETING_ID})
        samples = interleave({**commands, LIVE: live}, rounds)
        with frozen(stack.pids()["server"]):
            samples |= interleave({LIVE_FROZEN: live}, QUICK_ROUNDS)
        took_s = medians(samples)
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
    ] + [Row(what=name, measured=took_s[name] * 1000, unit="ms", budget=LIVE_MAX_MS) for name in (LIVE, LIVE_FROZEN)]


def _bare_commands(folder: Path) -> dict[str, Callable[[], object]]:
    imports = {TYPER: "", WITH_HTTPX: "import httpx\n", WITH_TEMPORAL: "import httpx\nimport temporalio.client\n"}
    commands: dict[str, Callable[[], object]] = {}
    for number, (name, lines) in enumerate(imports.items()):
        program = folder / f"{number}.py"
        program.write_text(lines + APPLICATION)
        commands[name] = _command([sys.executable, str(program)], os.environ)
    return commands


BENCHMARK = Benchmark(
    name="start",
    about="How long a command takes to start, beside the smallest program of its libraries.",
    run=run,
)
